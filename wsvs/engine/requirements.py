"""Check before any slow import that the packages, files and folders which a command needs are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from wsvs.config.base import OnDisk, Section, path_of
from wsvs.config.check import DEFAULT, source_of
from wsvs.config.groups import WebRetrieve
from wsvs.config.root import Settings
from wsvs.core.errors import UserError
from wsvs.core.extras import require
from wsvs.core.files import expand_pattern
from wsvs.engine.stage import Stage

PATTERN = (
    "check the path: a folder, a file or a pattern such as 'DIR/*.mp4'; put quotes around a name with spaces, brackets "
    "or commas: '{key}=\"a (1).mp4\"'"
)


def check_paths(settings: Settings, keys: Iterable[str], overrides: Sequence[str]) -> None:
    """Check that the paths in some settings exist.

    Args:
        settings: All settings of a command.
        keys: The settings to check, such as `data.root`. Keys that a section lacks are ignored, as are paths in the
            folder of a data set that is generated when first needed.
        overrides: Those of the command, to report the source of a value.

    Raises:
        UserError: A path does not exist.
    """
    later = Path(str(getattr(settings.data, "folder", ""))) if settings.data.made else None
    for key in keys:
        *above, name = key.split(".")
        section: Section = reduce(getattr, above, settings)
        wanted = path_of(name, type(section)) if name in type(section).model_fields else None
        value = getattr(section, name, None)
        if wanted is None or value is None or section.made:
            continue
        for path in [value] if isinstance(value, str) else value:
            if not _is(path, wanted) and not (later and Path(path).is_relative_to(later)):
                source = source_of(key, overrides)
                file = "" if source.startswith("the command line") or source == DEFAULT else f" ({source})"
                remedy = _remedy(key, path, wanted, section)
                raise UserError(f"{wanted.what} not found", where=f"{key}={path}{file}", remedy=remedy)


def _remedy(key: str, path: str, wanted: OnDisk, section: Section) -> str:
    if key.endswith(".labels") and Path(root := str(getattr(section, "root", "")), path).exists():
        return f"did you mean {Path(root, path)}?"
    if "://" in path:
        copied = "FILE" if wanted.kind == "file" else "DIR"
        return f"only files of this machine are read: copy it, and give {key}={copied}"
    return PATTERN.format(key=key) if wanted.kind == "pattern" else f"check {key}"


def _is(path: str, wanted: OnDisk) -> bool:
    if path in wanted.words or urlparse(path).scheme in ("http", "https"):
        return True
    try:
        if wanted.kind == "file":
            return Path(path).expanduser().is_file()
        if wanted.kind == "folder":
            return Path(path).is_dir()
        return Path(path).exists() or (wanted.kind == "pattern" and expand_pattern(Path(path)) is not None)
    except OSError:  # the name is too long, or the folder is not accessible: reading it reports that
        return True


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
