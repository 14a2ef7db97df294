"""The report as one self-contained HTML page: templates/ rendered with the report's records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wsvs.core.sweeps import MINIMIZE
from wsvs.report.records import Item, Report

_WIDTH, _HEIGHT, _LEFT, _EDGE = 320, 150, 34, 18  # of a curve, in its own units
_SHARES = ("iou", "j", "precision", "recall")
_THUMBNAILS = ("thumbnail", "attention", "motion")
_LEFT_OUT = (*_THUMBNAILS, "tags", "run")  # not in the data of the script; a review's server sends the last two


def page(report: Report, *, review: bool = False) -> str:
    """HTML of a report, for a review with what answers its server."""
    loader = PackageLoader("wsvs.report")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters.update(cell=cell, curve=curve, figure=figure, gallery=gallery, thumbnails=thumbnails)
    environment.globals.update(source=lambda name: Markup(loader.get_source(environment, name)[0]), MINIMIZE=MINIMIZE)
    return environment.get_template("page.html.j2").render(report=report, review=review)


def gallery(report: Report) -> dict[str, Any]:
    """The data for the page's script, without the thumbnails."""
    items = [_short({**asdict(item), **dict.fromkeys(_LEFT_OUT)}) for item in report.items]
    return {"items": items, "inAll": report.in_all, "colours": report.colours}


def _short(found: dict[str, Any]) -> dict[str, Any]:
    """Without unknown values, and with numbers rounded to four decimals."""
    values = {key: _short(value) if isinstance(value, dict) else value for key, value in found.items()}
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in values.items()
        if value is not None and value != () and value is not False
    }


def thumbnails(item: Item) -> str:
    """Its thumbnails, one per line; they are at the end of the page, so that the rest is shown first."""
    return "\n".join(getattr(item, key) or "" for key in _THUMBNAILS)


def cell(value: object) -> str:
    """A value formatted for the tables."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "\u2013"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def figure(word: str, key: str) -> tuple[Any, float | None]:
    """A cell of an evaluation's table of classes: its number or text, and the number again if it is a fraction."""
    try:
        value = int(word) if word.isdigit() else float(word)
    except ValueError:
        return word, None
    share = float(value) if key in _SHARES and math.isfinite(value) else None
    return (value if share is None else share), share


@dataclass(frozen=True)
class Curve:
    """One metric over the steps as an SVG: axes from 0 or the lowest value to the highest."""

    points: str
    end: tuple[float, float]
    ticks: Sequence[tuple[float, float]]
    steps: float
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _EDGE


def curve(points: Sequence[tuple[float, float]]) -> Curve:
    steps = max(1.0, max(x for x, _ in points))
    low, high = min(0.0, min(y for _, y in points)), max(y for _, y in points)
    span = (high - low) or 1.0
    right, bottom = _WIDTH - _EDGE, _HEIGHT - _EDGE
    places = [(_LEFT + x / steps * (right - _LEFT), bottom - (y - low) / span * (bottom - _EDGE)) for x, y in points]
    ticks = [(bottom - share * (bottom - _EDGE), low + share * span) for share in (0, 0.5, 1)]
    return Curve(" ".join(f"{x:.1f},{y:.1f}" for x, y in places), places[-1], ticks, steps)
