"""Sections of settings: frozen pydantic models whose fields have a type, default, range, unit and one line of help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic.fields import FieldInfo

REQUIRED = "???"  # Hydra's marker of a mandatory value


class Section(BaseModel):
    """Base of every section. Values are not converted: `true` is not a number, and 1e4 is not an integer."""

    # Sections are built when they are first checked: most commands check only the whole, which has them in it.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True, defer_build=True
    )
    made: ClassVar[bool] = False  # its files are generated or unpacked when first needed

    def replaced(self, **changes: Any) -> Self:
        """A copy with other values, which are validated."""
        return type(self)(**(dict(self) | changes))

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """{key: default} as primitives, nested sections too; required values are `REQUIRED`."""
        found: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            value: Any
            if (inner := section_of(field)) and field.default != {}:
                value = inner.defaults()
            elif is_required(name, cls):
                value = REQUIRED
            else:
                value = field.get_default()
            found[field.alias or name] = list(value) if isinstance(value, tuple) else value
        return found


class Group(Section):
    """A section of a plugin, whose settings only the plugin knows."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class OnDisk:
    """What must exist on disk for a setting that is a path.

    Attributes:
        what: Description, such as "folder of images".
        kind: "folder", "file", "any" of the two, or "pattern": with wildcards, or a list.
        words: Values that are not paths.
    """

    what: str
    kind: Literal["folder", "file", "any", "pattern"] = "folder"
    words: tuple[str, ...] = ()


def option(default: Any = REQUIRED, help: str = "", *, unit: str = "", path: OnDisk | None = None, **more: Any) -> Any:
    """One setting.

    Args:
        default: The default; omit it for a mandatory setting.
        help: One line for --help and the docs.
        unit: Unit of a number, such as px or s.
        path: What must exist on disk, for the stages that list the setting in their `paths`.
    """
    extra = {"unit": unit, "path": path, "required": default == REQUIRED}
    return Field(default=None if default == REQUIRED else default, description=help, json_schema_extra=extra, **more)


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that is nested in a field."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def items_of(kind: Any) -> type[Section] | None:
    """The section of which a field holds a list or a mapping."""
    for part in get_args(kind):
        if isinstance(part, type) and issubclass(part, Section):
            return part
        if found := items_of(part):
            return found
    return None


def is_required(name: str, section: type[Section]) -> bool:
    extra = section.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("required"))


def path_of(name: str, section: type[Section]) -> OnDisk | None:
    extra = section.model_fields[name].json_schema_extra
    found = extra.get("path") if isinstance(extra, dict) else None
    return found if isinstance(found, OnDisk) else None


def unit_of(name: str, section: type[Section]) -> str:
    extra = section.model_fields[name].json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first must not be larger than the second")
    return pair


def different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names must be different")
    return names


class IsText:
    """Marks a path or a name: Hydra reads digits as a number, which is converted back to text."""


Text = Annotated[str, IsText()]
Positive = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Above0 = Annotated[float, Gt(0)]
AtLeast0 = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
T = TypeVar("T")
Pair = Annotated[tuple[T, T], Strict(False)]  # also of a list
Several = Annotated[tuple[T, ...], Strict(False)]
Range = Annotated[Pair[AtLeast0], AfterValidator(ordered)]
RangeAbove0 = Annotated[Pair[Above0], AfterValidator(ordered)]
Texts = list[Text]
SomeTexts = Annotated[list[Text], MinLen(1)]
