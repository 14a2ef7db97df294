"""Packages that only some settings need, and errors for missing ones with the command that installs them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from wsvs.core.errors import UserError

EXTRAS = {  # {module: (its name for pip, the extra of pyproject.toml that installs it)}
    "maxflow": ("PyMaxflow", "maxflow"),
    "yt_dlp": ("yt-dlp", "web"),
    "wandb": ("wandb", "wandb"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "mlflow": ("mlflow-skinny", "mlflow"),
    "optuna": ("Optuna", "sweeps"),
    "timm": ("timm", "timm"),
    "starlette": ("starlette", "review"),
    "uvicorn": ("uvicorn", "review"),
    "onnx": ("onnx", "onnx"),
    "onnxscript": ("onnxscript", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "safetensors": ("safetensors", "hub"),
    "huggingface_hub": ("huggingface_hub", "hub"),
}


def require(module: str, where: object) -> None:
    """Raises `UserError` if a module of an extra is not installed. It is not imported: that can take seconds."""
    if (sys.modules[module] if module in sys.modules else find_spec(module)) is None:
        package, extra = EXTRAS[module]
        raise missing(package, extra, where)


def missing(package: str, extra: str, where: object, error: ImportError | None = None) -> UserError:
    """The error for a package of one of the extras that cannot be imported."""
    broken = error is not None and not (isinstance(error, ModuleNotFoundError) and error.name == package)
    problem = f"{package} cannot be imported: {error}" if broken else f"{package} is not installed"
    return UserError(problem, where=where, remedy=f"pip install 'wsvs[{extra}]'")
