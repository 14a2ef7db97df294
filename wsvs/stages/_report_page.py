"""The report as one HTML page: tables and curves are written out, galleries are filled by the page's own script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from wsvs.stages._report_template import SCRIPT, STYLE

_WIDTH, _HEIGHT, _EDGE = 320, 150, 26  # of a curve, in its own units
_COLOURS = ("#b3541e", "#1e6fb3", "#3b8f3b", "#7a4fb3")
_LINKED = ("http://", "https://", "file://")


def page(content: dict[str, Any]) -> str:
    """HTML of a report; see `wsvs.stages.report.run` for the content. It asks nothing of any server."""
    name = escape(str(content["name"]))
    data = {
        "shots": [_safe(card, "url", "clip") for card in content["shots"]],
        "predictions": [_safe(card, "file") for card in content["predictions"]],
    }
    classes = sorted({card["class"] for card in content["shots"]})
    sections = (
        ("flow", "Data flow", _table(("step", "what", "count"), content["flow"])),
        ("shots", "Shots", _shots(classes, len(content["shots"]))),
        ("predictions", "Best and worst predictions", _predictions(len(content["predictions"]))),
        ("scores", "Scores", "".join(_evaluation(one) for one in content["evaluations"])),
        ("curves", "Curves", _curves(content["curves"])),
        ("supervision", "Supervision used", _supervision(content["stages"])),
        ("runs", "Commands and versions", _runs(content["stages"])),
    )
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{title}</h2>{html or "<p>Nothing to show yet.</p>"}</section>'
        for key, title, html in sections
    )
    embedded = json.dumps(data).replace("<", "\\u003c")  # nothing in it can end the element
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{name}: report</title><style>{STYLE}</style></head><body>'
        f"<header><h1>{name}</h1><nav>{links}</nav></header><main>{body}</main>"
        f'<script type="application/json" id="data">{embedded}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _safe(card: dict[str, Any], *addresses: str) -> dict[str, Any]:
    """Only what leads to a page or a file becomes a link: a table of videos may hold anything."""
    return {
        key: None if key in addresses and not str(value or "").startswith(_LINKED) else value
        for key, value in card.items()
    }


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{escape(str(heading))}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def _shots(classes: Sequence[str], count: int) -> str:
    if not count:
        return ""
    options = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in classes)
    keys = "".join(f'<option value="{key}">{key}</option>' for key in ("score", "class", "energy", "area", "frames"))
    return (
        '<form class="controls"><label>class <select id="class"><option value="">all</option>'
        f'{options}</select></label><label>sorted by <select id="sort">{keys}</select></label>'
        '<label><input type="checkbox" id="up"> lowest first</label>'
        f'<output id="count">{count} shots</output></form>'
        "<p>The mask over the middle frame. Score: mean of the frames' scores for the class. Energy: of the labels "
        "that were found, per frame. Some shots show their attention and motion too.</p>"
        '<div id="shot-cards" class="cards"></div><button type="button" id="more">show more</button>'
    )


def _predictions(count: int) -> str:
    if not count:
        return ""
    return (
        "<p>Mean IoU over the classes of an image, background included; above our mask, below the true one.</p>"
        '<div id="prediction-cards" class="cards"></div>'
    )


def _evaluation(one: dict[str, Any]) -> str:
    html = _table((one["run"], ""), list(one["results"].items()))
    if one["per_class"]:
        heading, *lines = one["per_class"]
        rows = _table(heading, [_numbers(line) for line in lines])
        html += f"<details><summary>classes</summary>{rows}</details>"
    if one["confusion"]:
        html += f"<details><summary>confusion</summary>{_confusion(one['confusion'])}</details>"
    return html


def _numbers(line: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for word in line:
        try:
            found.append(int(word) if word.isdigit() else float(word))
        except ValueError:
            found.append(word)
    return found


def _confusion(table: Sequence[Sequence[str]]) -> str:
    """Shares of the true pixels of a class that went to each class, in percent; the darker, the more."""
    (_, *names), *lines = table
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    body = ""
    for label, *counts in lines:
        total = max(1, sum(int(count) for count in counts))
        cells = ""
        for count in counts:
            share = int(count) / total
            ink = "#fff" if share > 0.5 else "inherit"
            cells += f'<td style="background:rgba(30,111,179,{share:.3f});color:{ink}">{100 * share:.1f}</td>'
        body += f"<tr><th scope=row>{escape(label)}</th>{cells}</tr>"
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="confusion"><table class="confusion"><thead><tr>'
        f"<th scope=col>true, in % &#8594; predicted</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _curves(stages: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    drawn = [
        f"<figure>{_curve(points, _COLOURS[number % len(_COLOURS)])}<figcaption>{escape(stage)}, {escape(metric)}: "
        f"last {points[-1][1]:.4g}</figcaption></figure>"
        for stage, metrics in stages.items() for number, (metric, points) in enumerate(sorted(metrics.items()))
    ]
    return f'<div class="curves">{"".join(drawn)}</div>' if drawn else ""


def _curve(points: Sequence[tuple[float, float]], colour: str) -> str:
    """An SVG of one metric over the steps; the axes run from 0 or the lowest value to the highest."""
    last = max(1.0, max(x for x, _ in points))
    low, high = min(0.0, min(y for _, y in points)), max(y for _, y in points)
    span = (high - low) or 1.0
    places = [
        (_EDGE + x / last * (_WIDTH - 2 * _EDGE), _HEIGHT - _EDGE - (y - low) / span * (_HEIGHT - 2 * _EDGE))
        for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[0]
    dots = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' if len(points) == 1 else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f'<path d="M{_EDGE},{_EDGE}V{_HEIGHT - _EDGE}H{_WIDTH - _EDGE}" fill="none" stroke="#999"/>'
        f'<text x="2" y="{_EDGE - 6}">{high:.3g}</text><text x="2" y="{_HEIGHT - _EDGE + 14}">{low:.3g}</text>'
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - _EDGE + 14}" text-anchor="end">step {last:g}</text>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>{dots}</svg>'
    )


def _supervision(stages: Sequence[dict[str, Any]]) -> str:
    return _table(("stage", "supervision"), [(one["stage"], one["supervision"] or "none") for one in stages])


def _runs(stages: Sequence[dict[str, Any]]) -> str:
    rows = [(one["stage"], round(float(one["seconds"]), 1), one["command"], one["run"]) for one in stages]
    versions = sorted({
        (package, number) for one in stages
        for package, number in {**one["versions"], "commit": one["commit"] or "unknown"}.items()
    })
    return _table(("stage", "seconds", "command", "run"), rows) + _table(("package", "version"), versions)
