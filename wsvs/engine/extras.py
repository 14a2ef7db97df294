"""Check early that the packages which the settings of a command need are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsvs.config.groups import WebRetrieve
from wsvs.config.root import Settings
from wsvs.core.extras import require
from wsvs.engine.stage import Stage


def check_extras(settings: Settings, stage: Stage[Any]) -> None:
    """Raises `UserError` for the first missing package; settings that the stage does not read are ignored."""
    read = {key.partition(".")[0] for key in stage.keys} | {"logger"}
    for section, module, where in _asked(settings):
        if section in read or stage.ranks == "one":  # it runs the other stages
            require(module, where)


def _asked(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(section, module, setting that needs it)."""
    for name in ("wandb", "tensorboard", "mlflow"):
        if name in settings.logger:
            yield "logger", name, f"logger={name}"
    if isinstance(settings.retrieve, WebRetrieve):
        yield "retrieve", "yt_dlp", f"retrieve={settings.retrieve.source}"
    if settings.segment.solver == "maxflow":
        yield "segment", "maxflow", "segment.solver=maxflow"
    if settings.model.backbone.startswith("timm/"):
        yield "model", "timm", f"model.backbone={settings.model.backbone}"
    if settings.export.format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            yield "export", package, "export.format=onnx"
