"""The report as one HTML page: tables and curves are written out, galleries are filled by the page's own script."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from wsvs.core.sweeps import MINIMIZE, Sweep
from wsvs.stages._report_flow import Count
from wsvs.stages._report_template import SCRIPT, STYLE

_WIDTH, _HEIGHT, _LEFT, _EDGE = 320, 150, 34, 18  # of a curve, in its own units
_LINKED = ("http://", "https://", "file://")
_TERMS = (
    "The mask over the middle frame; below it, where the run has written them, <b>A</b>, the encoder's attention, and "
    "<b>M</b>, the motion, from black to bright. Score: the mean of the frames' scores for the class. Energy: of the "
    "labels that were found, per frame."
)


def page(content: dict[str, Any]) -> str:
    """HTML of a report; see `wsvs.stages.report.run` for the content. It asks nothing of any server."""
    name = escape(str(content["name"]))
    data = {
        "shots": [_safe(card, "url", "clip") for card in content["shots"]], "inAll": content["shots_in_all"],
        **{key: [_safe(card, "file") for card in content["predictions"][key]] for key in ("best", "worst")},
    }
    sections = (
        ("flow", "Data flow", _flow(content["flow"])),
        ("scores", "Scores", _scores(content["evaluations"])),
        ("sweeps", "Sweeps", _sweeps(content.get("sweeps", ()))),
        ("shots", "Shots", _shots(content["shots"])),
        ("predictions", "Predictions", _predictions(data["best"], data["worst"], content["predictions"]["of"])),
        ("curves", "Curves", _curves(content["curves"])),
        ("supervision", "Supervision", _supervision(content["stages"])),
        ("runs", "Commands", _runs(content["stages"])),
    )
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{title}</h2>{html or "<p class=soft>Nothing to show yet.</p>"}</section>'
        for key, title, html in sections
    )
    embedded = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # nothing in it can end the element
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{name}: report</title><style>{STYLE}</style></head><body>'
        f'<header><h1>{name}</h1><nav aria-label="sections">{links}</nav></header>'
        f'<main><div class="tiles">{_tiles(content["evaluations"])}</div>{_notes(content["notes"])}{body}</main>'
        f'<footer class="soft">made by wsvs on {escape(str(content["made"]))}</footer>'
        f'<script type="application/json" id="data">{embedded}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _safe(card: dict[str, Any], *addresses: str) -> dict[str, Any]:
    """Only what leads to a page or a file becomes a link: a table of videos may hold anything."""
    return {
        key: None if key in addresses and not str(value or "").startswith(_LINKED) else value
        for key, value in card.items()
    }


def _notes(notes: Sequence[str]) -> str:
    """What the reader must know before anything else: what is missing, or stands for something else."""
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes" aria-label="notes">{said}</ul>' if said else ""


def _tiles(evaluations: Sequence[dict[str, Any]]) -> str:
    """The first figures of the last evaluation of each kind."""
    last = {one["kind"]: one for one in reversed(evaluations) if one["results"]}
    return "".join(
        f'<div class="tile"><b>{_cell(value)}</b><span>{escape(key)}</span>'
        f'<span>of {escape(last[kind]["scored"])}</span></div>'
        for kind, most in (("image", 1), ("video", 1), ("relevance", 2)) if kind in last
        for key, value in list(last[kind]["results"].items())[:most]
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]], label: str, kind: str = "") -> str:
    """A table that scrolls by itself where it is too wide; what stands first in a row names it."""
    head = "".join(f"<th scope=col>{escape(str(heading))}</th>" for heading in headings)
    body = "".join(f"<tr>{_name(row[0])}{''.join(map(_td, row[1:]))}</tr>" for row in rows)
    return _wide(f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', label)


def _wide(table: str, label: str) -> str:
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">{table}</div>'


class _Html(str):
    """A cell that is HTML already."""


def _name(value: object) -> str:
    return f"<th scope=row>{escape(str(value))}</th>"


def _td(value: Any) -> str:
    if isinstance(value, _Html):
        return str(value)
    return f"<td{' class=number' if isinstance(value, int | float) else ''}>{_cell(value)}</td>"


def _cell(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "&#8211;"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def _flow(counts: Sequence[Count]) -> str:
    """What is left after each step, all together and by class; a bar says which share of the unit's first step."""
    if not counts:
        return ""
    names = sorted({name for count in counts for name in count.by_class})
    first: dict[str, Count] = {}
    rows: list[str] = []
    for count in counts:
        start = first.setdefault(count.unit, count)
        opens = ' class="opens"' if start is count and rows else ""
        cells = _bar(count.total, start.total) + "".join(
            _bar(count.by_class.get(name, 0), start.by_class.get(name, 0)) if count.by_class else "<td></td>"
            for name in names
        )
        rows.append(f"<tr{opens}>{_name(count.unit)}{_name(count.step)}{cells}</tr>")
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in ("unit", "step", "all", *names))
    table = f'<table class="flow"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return _wide(table, "data flow") + (
        '<p class="soft">The bar is the share of what the first step of videos, frames, shots or images had.</p>'
    )


def _bar(number: int, whole: int) -> str:
    share = min(1.0, number / whole) if whole else 0.0
    return f'<td class="number bar" style="--share:{share:.3f}">{number:,}</td>'


def _scores(evaluations: Sequence[dict[str, Any]]) -> str:
    if not evaluations:
        return ""
    rows: list[tuple[Any, ...]] = []
    for one in evaluations:
        figures = {key: value for key, value in one["results"].items() if not key.startswith("IoU ")}
        said = " &#183; ".join(f"{escape(key)} <b>{_cell(value)}</b>" for key, value in figures.items())
        rows.append((one["label"], one["scored"], _Html(f"<td>{said}</td>")))
    html = _table(("evaluation", "of", "result"), rows, "scores", "scores")
    for number, one in enumerate(evaluations):
        for key, title, draw in (("per_class", "classes", _per_class), ("confusion", "confusion", _confusion)):
            if one[key]:
                summary = f"<summary>{escape(one['label'])}: {title}</summary>"
                html += f"<details{'' if number else ' open'}>{summary}{draw(one[key])}</details>"
    return html


def _sweeps(sweeps: Sequence[Sweep]) -> str:
    """A table for each sweep: settings against results, best first; jobs that failed with their reason."""
    html = ""
    for sweep in sweeps:
        headings, rows = sweep.shown()
        cells = [
            [*("" if value is None else value for value in row), job.state + (f": {job.reason}" if job.reason else "")]
            for job, row in zip(sweep.jobs, rows, strict=True)
        ]
        name = f"{sweep.folder.parent.name}, {sweep.folder.name}"
        order = "lowest" if sweep.direction == MINIMIZE else "highest"
        by = f": {sweep.objective}, the {order} first" if sweep.objective else ""
        html += f"<h3>{escape(name)}{escape(by)}</h3>" + _table([*headings, "state"], cells, f"sweep {name}")
    return html


def _per_class(table: Sequence[Sequence[str]]) -> str:
    """The table of an evaluation: a class in each row, whatever its name looks like; shares have a bar."""
    heading, *lines = table
    rows = [[name, *map(_figure, heading[1:], words)] for name, *words in lines]
    return _table([name.replace("_", " ") for name in heading], rows, "scores by class")


def _figure(key: str, word: str) -> Any:
    """A cell of such a table: a number where it is one."""
    try:
        value = int(word) if word.isdigit() else float(word)
    except ValueError:
        return word
    if key not in ("iou", "j", "precision", "recall") or not math.isfinite(value):
        return value
    return _Html(f'<td class="number bar" style="--share:{value:.3f}">{_cell(float(value))}</td>')


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
            cells += f'<td class="number heat" style="--share:{share:.3f}">{100 * share:.1f}</td>'
        body += f"<tr>{_name(label)}{cells}</tr>"
    return _wide(
        f"<table><thead><tr><th scope=col>true, in % &#8594; predicted</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>", "confusion",
    )


def _shots(cards: Sequence[dict[str, Any]]) -> str:
    if not cards:
        return ""
    classes = "".join(
        f'<option value="{escape(name)}">{escape(name)}</option>' for name in sorted({card["class"] for card in cards})
    )
    keys = "".join(
        f'<option value="{key}">{key}</option>' for key in ("score", "energy", "class", "area", "frames")
        if any(card[key] is not None for card in cards)
    )
    return (
        f'<p class="soft">{_TERMS}</p><form class="controls"><label>class <select id="class">'
        f'<option value="">all</option>{classes}</select></label><label>sorted by <select id="sort">{keys}</select>'
        '</label><label>from <select id="order"><option value="down">the highest</option>'
        f'<option value="up">the lowest</option></select></label></form>{_gallery("shots", "shots")}'
    )


def _gallery(key: str, label: str, kind: str = "") -> str:
    """Where the script puts cards, a page of them at a time: only those are in the document."""
    above, below = (
        f'<nav class="pager" aria-label="pages of {label}, {place}"><button type="button" class="back">previous'
        '</button><output class="place"></output><button type="button" class="on">next</button></nav>'
        for place in ("above", "below")
    )
    cards = f'<div id="{key}-cards" class="cards {kind}"></div>'
    return f'<div id="{key}-gallery">{above}{cards}{below}</div>'


def _predictions(best: Sequence[dict[str, Any]], worst: Sequence[dict[str, Any]], total: int) -> str:
    if not best and not worst:
        return ""
    galleries = "".join(
        f"<h3>{title}</h3>{_gallery(key, f'the {key} predictions', 'pairs')}"
        for key, title, cards in (("best", "Best", best), ("worst", "Worst", worst)) if cards
    )
    return (
        f"<p class=soft>{len(best) + len(worst):,} of {total:,} images: our mask beside the true one, by the mean IoU "
        f"over the classes of the image, background included.</p>{galleries}"
    )


def _curves(stages: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    drawn = [
        f"<figure><figcaption><span>{escape(stage)} <b>{escape(metric)}</b></span><span>{points[-1][1]:.4g}</span>"
        f"</figcaption>{_curve(points, f'{stage} {metric}')}</figure>"
        for stage, metrics in stages.items() for metric, points in sorted(metrics.items())
    ]
    return f'<div class="curves">{"".join(drawn)}</div>' if drawn else ""


def _curve(points: Sequence[tuple[float, float]], label: str) -> str:
    """An SVG of one metric over the steps; the axes run from 0 or the lowest value to the highest."""
    last = max(1.0, max(x for x, _ in points))
    low, high = min(0.0, min(y for _, y in points)), max(y for _, y in points)
    span = (high - low) or 1.0
    right, bottom = _WIDTH - _EDGE, _HEIGHT - _EDGE
    places = [
        (_LEFT + x / last * (right - _LEFT), bottom - (y - low) / span * (bottom - _EDGE)) for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    grid = "".join(
        f'<path class="grid" d="M{_LEFT},{y:.1f}H{right}"/><text x="{_LEFT - 5}" y="{y + 4:.1f}" '
        f'text-anchor="end">{low + share * span:.2g}</text>'
        for share in (0, 0.5, 1) for y in [bottom - share * (bottom - _EDGE)]
    )
    x, y = places[-1]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{grid}'
        f'<text x="{right}" y="{_HEIGHT - 4}" text-anchor="end">step {last:g}</text>'
        f'<polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></svg>'
    )


def _supervision(stages: Sequence[dict[str, Any]]) -> str:
    rows = [(one["stage"], one["supervision"] or "none") for one in stages]
    return _table(("stage", "told by people"), rows, "supervision") if rows else ""


def _runs(stages: Sequence[dict[str, Any]]) -> str:
    if not stages:
        return ""
    rows = [
        (one["stage"], f"{one['seconds']:.1f}", _Html(f"<td><code>{escape(one['command'])}</code></td>"),
         _Html(f"<td><code>{escape(one['run'])}</code></td>"))
        for one in stages
    ]
    versions = sorted({
        (package, number) for one in stages
        for package, number in {**one["versions"], "commit": one["commit"] or "unknown"}.items()
    })
    return (
        _table(("stage", "seconds", "command", "run"), rows, "commands", "commands")
        + "<h3>Versions</h3>" + _table(("package", "version"), versions, "versions")
    )
