"""The shipped configuration on disk, and the file that a value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

GLOBAL = "# @package _global_"


def config_dir() -> Path:
    """Folder of the shipped configuration: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    packed = package / "conf"
    return packed if packed.is_dir() else package.parent / "conf"


def file_of(key: str, overrides: Sequence[str]) -> Path | None:
    """The chosen file that sets a setting (the last one, if several do); None for a default."""
    folders = _folders()
    choices: dict[str, Any] = {}
    main: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / "config.yaml"), resolve=False)
    for entry in main["defaults"]:
        choices |= entry if isinstance(entry, dict) else {}
    choices |= dict(word.partition("=")[::2] for word in overrides if word.partition("=")[0] in choices)
    for group, option in reversed(choices.items()):
        for path in _chain(folders, group, str(option)):
            content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
            prefix = "" if GLOBAL in path.read_text(encoding="utf-8") else f"{group}."
            if key.startswith(prefix) and _holds(content, key.removeprefix(prefix)):
                return path
    return None


def _folders() -> list[Path]:
    """Folders of configuration files: the user's and the package's."""
    from hydra.core.hydra_config import HydraConfig

    found = [config_dir()]
    if HydraConfig.initialized():
        sources = HydraConfig.get().runtime.config_sources
        found = [Path(one.path) for one in sources if one.schema == "file" and one.path] + found
    return found


def _chain(folders: Sequence[Path], group: str, option: str) -> Iterator[Path]:
    """A file and the files that it extends."""
    path = next((one for folder in folders if (one := folder / group / f"{option}.yaml").is_file()), None)
    if path is None:
        return
    yield path
    content: Any = OmegaConf.load(path)
    for base in content.get("defaults", []):
        if isinstance(base, str) and base != "_self_":
            yield from _chain(folders, group, base)


def _holds(node: Any, key: str) -> bool:
    first, _, rest = key.partition(".")
    if isinstance(node, list):
        return True  # it is of one file
    return isinstance(node, dict) and first in node and (not rest or _holds(node[first], rest))
