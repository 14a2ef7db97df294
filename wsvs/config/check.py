"""Check a composed configuration against the types and ranges of the settings before anything runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from pydantic import ValidationError

from wsvs.config.base import Group, Section, items_of, section_of
from wsvs.config.describe import is_list, is_text, values_of
from wsvs.config.groups import OtherRetrieve
from wsvs.config.root import DATA, LOGGERS, OUTSIDE, SOURCES, Settings, groups
from wsvs.core.errors import UserError

_MISSING = object()
DEFAULT = "the configuration"  # source of a value that neither the command line nor a chosen file sets
_SHOW = "wsvs stage={stage} --help lists the settings with their ranges; leave it out to use the default"


def check(cfg: DictConfig, overrides: Sequence[str] = ()) -> Settings:
    """The typed settings of a command. Paths and names that Hydra read as numbers become texts in `cfg`.

    Args:
        cfg: The composed configuration.
        overrides: Overrides of the command, for the spelling of such numbers and the source of values.

    Raises:
        UserError: A value of the wrong type or outside its range, or an unknown key.
    """
    parts: dict[str, type[Section]] = {"": Settings, **_groups(cfg)}
    for prefix, section in parts.items():
        _make_texts(cfg, section, prefix, overrides)
    given = _plain(cfg)
    found: dict[str, Section] = {}
    for prefix, section in parts.items():
        node = _at(given, prefix, {}) if prefix else {key: given[key] for key in given if key not in parts}
        try:
            found[prefix] = section.model_validate_json(json.dumps(node, default=str))
        except ValidationError as error:
            raise _refusal(error, section, prefix, given, overrides) from None
    settings = found.pop("")
    assert isinstance(settings, Settings)
    settings = settings.model_copy(update={key: one for key, one in found.items() if "." not in key})
    if settings.trainer.precision == "64-true" and given.get("stage") in ("segment", "pipeline", "reproduce"):
        raise UserError(  # Lightning cannot convert its shots
            "stage segment does not support 64-true", where="trainer.precision", remedy="use trainer.precision=32-true"
        )
    return settings


def _groups(cfg: DictConfig) -> dict[str, type[Section]]:
    """{prefix: section} of the groups whose section depends on the choice, and of stages from other packages."""
    found: dict[str, type[Section]] = {
        "data": DATA.get(str(cfg.get("data", {}).get("_target_", "")), Group),
        "retrieve": SOURCES.get(str(cfg.get("retrieve", {}).get("source", "")), OtherRetrieve),
        **OUTSIDE,
    }
    for name, logger in (cfg.get("logger") or {}).items():
        if (section := LOGGERS.get(str((logger or {}).get("_target_", "")))) is not None:
            found[f"logger.{name}"] = section
    return found


def _plain(node: DictConfig | ListConfig) -> Any:
    """Resolved primitives, without missing values and references to them."""
    if isinstance(node, ListConfig):
        return [_leaf(node, index) for index in range(len(node))]
    values = ((str(key), _leaf(node, key)) for key in node)
    return {key: value for key, value in values if value is not _MISSING}


def _leaf(node: DictConfig | ListConfig, key: Any) -> Any:
    try:
        value = node[key]
    except Exception as error:  # OmegaConf's, or a resolver's that it wraps
        if type(error).__name__ not in ("MissingMandatoryValue", "InterpolationToMissingValueError"):
            raise
        return _MISSING
    return _plain(value) if isinstance(value, DictConfig | ListConfig) else value


def _at(node: Any, path: str, default: Any = None) -> Any:
    for key in path.split("."):
        if isinstance(node, Mapping) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return default
    return node


def fields_below(section: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section], str]]:
    """(dotted key, section, field) of every setting, also of nested sections."""
    for name, field in section.model_fields.items():
        key = f"{prefix}.{field.alias or name}".lstrip(".")
        if inner := section_of(field):
            yield from fields_below(inner, key)
        else:
            yield key, section, name


def _make_texts(cfg: DictConfig, section: type[Section], prefix: str, overrides: Sequence[str]) -> None:
    """Replace numbers by texts where a path or a name is expected."""
    written = {key.lstrip("+"): text for key, _, text in (word.partition("=") for word in overrides)}
    for key, owner, name in fields_below(section, prefix):
        field = owner.model_fields[name]
        if not is_text(field.annotation, field.metadata):
            continue
        value = OmegaConf.select(cfg, key, default=None, throw_on_resolution_failure=False)
        many = is_list(field.annotation)
        if OmegaConf.is_list(value) and many:
            text: Any = [as_text(key, one, written.get(key, ""), many) for one in value]
        elif value is None or OmegaConf.is_config(value):
            continue
        else:
            text = as_text(key, value, written.get(key, ""), many)
            if isinstance(text, str) and text.startswith("~/"):
                text = os.path.expanduser(text)  # the shell expands out=~/x, but not data.root=~/x
        if text != value:
            OmegaConf.update(cfg, key, text)


def as_text(name: str, value: Any, written: str = "", many: bool = False) -> Any:
    """A path or a name that Hydra may have read as a number, as text; other values are unchanged.

    Args:
        name: The setting.
        value: Its value.
        written: The text on the command line, if any.
        many: Whether the setting is a list of texts.

    Raises:
        UserError: A number with another spelling: Hydra reads 2024_10 as 202410.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if written and "$" not in written and str(value) not in re.split(r"[\[\], ]+", written):
        raise UserError(
            f"{name}={written} would be read as the number {value}",
            where=f"the command line: {name}={written}",
            remedy=quoting(name, many),
        )
    return str(value)


def text_of(name: str, value: Any) -> str:
    """A path or a name before the configuration is composed. Raises `UserError` for another type."""
    text = as_text(name, value)
    if not isinstance(text, str):
        raise UserError(
            f"{name} must be one text, got {value!r}", where=source_of(name, ()), remedy=quoting(name, False)
        )
    return text


def quoting(name: str, many: bool) -> str:
    example = '["2024_10"]' if many else '"2024_10"'
    return f"put quotes within quotes around a name that is read as something else: '{name}={example}'"


def _refusal(
    error: ValidationError, section: type[Section], prefix: str, given: Mapping[str, Any], overrides: Sequence[str]
) -> UserError:
    """The first invalid setting: what is wrong, where it came from, what to do."""
    stage = str(given.get("stage", "<name>"))
    first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    key, owner, name = _field(section, prefix, loc)
    if name is None:  # a rule between settings of a section, or an unknown key
        if first["type"] == "extra_forbidden":
            beside = [f"{key}.{one}" for one in owner.model_fields]
            key = ".".join(filter(None, [prefix, *loc]))
            near = nearest(key, beside)
            return UserError(
                f"there is no setting {key}",
                where=source_of(key, overrides),
                remedy=f"did you mean {near}?" if near else _SHOW.format(stage=stage),
            )
        rule = str(first.get("ctx", {}).get("error", first["msg"]))
        keys = [f"{key}.{one}" for one in owner.model_fields if re.search(rf"\b{one}\b", rule)] if key else []
        found = (source_of(one, overrides) for one in keys or [key])
        return UserError(
            f"{key}: {rule}" if key else rule,
            where=next((one for one in found if one != DEFAULT), DEFAULT),
            remedy=_SHOW.format(stage=stage),
        )
    field, value = owner.model_fields[name], _at(given, key)
    many = is_list(field.annotation)
    each = "each of " if many and isinstance(value, list) and is_text(field.annotation, field.metadata) else ""
    problem = f"{each}{key} must be {'one text' if each else values_of(field)}, got {value!r}"
    if field.annotation is bool:
        remedy = f"write {key}=true or {key}=false"
    elif many and value is not None and not isinstance(value, list) and " or a list" not in problem:
        remedy = f"write {key}=[{value}]"
    elif is_text(field.annotation, field.metadata):
        remedy = quoting(key, many)
    else:
        remedy = _SHOW.format(stage=stage)
    return UserError(problem, where=source_of(key, overrides), remedy=remedy)


def _field(section: type[Section], prefix: str, loc: Sequence[str]) -> tuple[str, type[Section], str | None]:
    """(dotted key, its section, its field) of a location in a validation error; the field is None if there is none."""
    key, parts = prefix, list(loc)
    while parts:
        part = parts.pop(0)
        name = next((name for name, field in section.model_fields.items() if part in (name, field.alias)), None)
        if name is None:
            return key, section, None
        key = f"{key}.{part}".lstrip(".")
        inner = section_of(section.model_fields[name])
        if inner is None and len(parts) > 1 and (inner := items_of(section.model_fields[name].annotation)):
            key = f"{key}.{parts.pop(0)}"  # of one of several
        if inner is None:
            return key, section, name
        section = inner
    return key, section, None


def source_of(key: str, overrides: Sequence[str]) -> str:
    """Source of a value: the argument on the command line, the chosen file, or the defaults."""
    said = {word.partition("=")[0].lstrip("+~").partition("@")[0]: word for word in overrides}
    near = [one for one in said if one == key or key.startswith(f"{one}.")]
    if near:
        return f"the command line: {said[max(near, key=len)]}"
    from wsvs.config.files import file_of

    path = file_of(key, overrides)
    return str(path) if path else DEFAULT


def all_keys() -> set[str]:
    """Every setting of a command, including those of all choices of the groups."""
    found = {key for key, *_ in fields_below(Settings)}
    for prefix, choices in groups().items():
        for section in choices.values():
            found |= {key for key, *_ in fields_below(section, prefix)}
    return found


def nearest(key: str, more: Iterable[str] = ()) -> str | None:
    """The setting with the most similar name, if there is one."""
    near = get_close_matches(key, sorted({*all_keys(), *more}), n=1)
    return near[0] if near else None
