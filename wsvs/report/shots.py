"""The cards of a segment run: its shots, or its whole videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from wsvs.core.files import read_json, read_jsonl
from wsvs.core.progress import follow
from wsvs.core.records import Record
from wsvs.report.records import ShotCard
from wsvs.report.thumbnails import shot_thumbnail, term_thumbnail, video_thumbnail


def shot_rows(path: Path) -> list[dict[str, Any]]:
    """Records of a run's shots or whole videos, the classes in turns; "file" is where it is now."""
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


def shot_cards(path: Path, rows: Sequence[dict[str, Any]], width: int) -> Iterator[ShotCard]:
    """A card for each row. What is on no disk any more has no link."""
    record = Record(path)
    for row in follow(rows, "shots"):
        uncertain = bool(row.get("uncertain") or row.get("uncertain_frames") == row.get("frames", 0) != 0)
        known = {
            "category": row["class"], "url": _source(record, row.get("url")), "clip": _address(Path(row["file"])),
            "score": row.get("score"), "confidence": row.get("confidence"), "uncertain": uncertain,
        }
        if "shot" not in row:
            yield ShotCard(
                row["video"], frames=row["frames"], cuts=row.get("cut_seconds", ()), **known,
                mask=video_thumbnail(path, row, width),
            )
            continue
        done = path / "done" / f"{row['shot']}.json"
        energy = read_json(done).get("energy") if done.is_file() else None
        count = max(1, len(row["areas"]))
        yield ShotCard(
            row["shot"], frames=len(row["areas"]), area=round(sum(row["areas"]) / count, 4), **known,
            energy=energy and round(energy["total"] / count, 1), mask=shot_thumbnail(path, row, width),
            attention=term_thumbnail(path, row["shot"], "attention", width),
            motion=term_thumbnail(path, row["shot"], "motion", width),
        )


def _address(file: Path) -> str | None:
    return file.as_uri() if file.exists() else None


def _source(record: Record, address: str | None) -> str | None:
    """A video's page; the file itself where the videos came from a disk."""
    if not address or urlsplit(address).scheme != "file":
        return address
    return _address(record.where(url2pathname(urlsplit(address).path)))
