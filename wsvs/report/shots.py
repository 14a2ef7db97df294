"""Gallery items of a segment run: its shots, or the user's whole videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from wsvs.core.errors import BadItem
from wsvs.core.files import read_json, read_jsonl
from wsvs.core.masks import read_mask
from wsvs.core.records import Record
from wsvs.report.found import Address
from wsvs.report.images import each
from wsvs.report.records import Figures, Item
from wsvs.report.thumbnails import masked_frame, term_thumbnail
from wsvs.video.shots import middle


def shot_rows(path: Path) -> list[dict[str, Any]]:
    """Records of a run's shots or whole videos, alternating between classes; "file" is the present path."""
    whole = not (path / "shots.jsonl").is_file()
    record = Record(path)
    rows = read_jsonl(path / ("videos.jsonl" if whole else "shots.jsonl"))
    return [row | {"file": str(record.where(row["file"]))} for row in _turns(rows)]


def _turns(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    by_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_class.setdefault(row["class"], []).append(row)
    for together in zip_longest(*by_class.values()):
        yield from (row for row in together if row is not None)


def shot_items(path: Path, rows: Sequence[dict[str, Any]], width: int, address: Address) -> list[Item]:
    """An item for each row. Files that no longer exist have no link."""
    record = Record(path)
    return list(each(lambda row: _item(path, record, row, width, address), rows, "shots"))


def _item(path: Path, record: Record, row: dict[str, Any], width: int, address: Address) -> Item:
    whole = "shot" not in row
    name = row["video" if whole else "shot"]
    number = middle(row["frames"], row.get("damaged", ())) if whole else (row["start"] + row["stop"]) // 2
    frame = f"{name}/{number:05d}" if whole else f"{name}/{number:06d}"
    try:
        mask = read_mask(path / "masks" / f"{frame}.png")
    except BadItem:
        mask = None
    areas = row.get("areas", ())
    count = max(1, len(areas))
    done = path / "done" / f"{name}.json"
    energy = read_json(done).get("energy") if done.is_file() else None
    found = Figures(
        area=sum(areas) / count if areas else None,
        confidence=row.get("confidence"),
        score=row.get("score"),
        energy=energy["total"] / count if energy else None,
    )
    span = None if whole or "fps" not in row else (row["start"] / row["fps"], row["stop"] / row["fps"])
    return Item(
        "video" if whole else "shot",
        name,
        found,
        {row["class"]: found} if row["class"] else {},
        address(Path(row["file"])),
        span,
        overlay=address(path / "overlay" / f"{name}.mp4"),
        url=_source(record, row.get("url"), address),
        frames=row["frames"] if whole else len(areas),
        cuts=row.get("cut_seconds", ()),
        uncertain=bool(row.get("uncertain") or row.get("uncertain_frames") == row.get("frames", 0) != 0),
        thumbnail=None
        if mask is None
        else masked_frame(
            Path(row["file"]),
            number,
            mask,
            width,
            kept=path / "frames" / f"{frame}.jpg",
            frames=None if whole else row["frames"],
        ),
        attention=term_thumbnail(path, name, "attention", width),
        motion=term_thumbnail(path, name, "motion", width),
        tags=(row["class"],) if row["class"] else (),
        run="/".join(path.parts[-2:]),
    )


def _source(record: Record, given: str | None, address: Address) -> str | None:
    """A video's page, or the file itself for local videos. Other URLs in a table of videos are ignored."""
    parts = urlsplit(given or "")
    if parts.scheme == "file":
        return address(record.where(url2pathname(parts.path)))
    return given if parts.scheme in ("http", "https") else None
