"""Gallery items of a segment run: its shots, or the user's whole videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from urllib.parse import urlsplit
from urllib.request import url2pathname

from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.core.records import Record
from wsvs.records.masks import MaskSet
from wsvs.records.shots import Shot, Video
from wsvs.report.found import Address
from wsvs.report.images import each
from wsvs.report.records import Figures, Item
from wsvs.report.thumbnails import masked_frame, term_thumbnail


def shot_items(masks: MaskSet, most: int, width: int, address: Address) -> tuple[list[Item], int]:
    """An item for each of the first shots or whole videos, alternating between classes; and how many there are.

    Files that no longer exist have no link.
    """
    record = Record(masks.folder)
    rows = list(_turns(masks.rows()))
    return list(each(lambda row: _item(masks, record, row, width, address), rows[:most], "shots")), len(rows)


def _turns(rows: Iterable[Shot | Video]) -> Iterator[Shot | Video]:
    by_class: dict[str, list[Shot | Video]] = {}
    for row in rows:
        by_class.setdefault(row.class_name, []).append(row)
    for together in zip_longest(*by_class.values()):
        yield from (row for row in together if row is not None)


def _item(masks: MaskSet, record: Record, row: Shot | Video, width: int, address: Address) -> Item:
    path, file, name = masks.folder, record.where(row.file), row.name
    try:
        mask = read_mask(masks.mask(name, row.middle))
    except BadItem:
        mask = None
    shot, video = (row, None) if isinstance(row, Shot) else (None, row)
    areas = shot.areas if shot else ()
    count = max(1, len(areas))
    energy = masks.ledger.read(name).get("energy") if masks.ledger.has(name) else None
    found = Figures(
        area=sum(areas) / count if areas else None,
        confidence=row.confidence,
        score=shot.score if shot else None,
        energy=energy["total"] / count if energy else None,
    )
    return Item(
        "shot" if shot else "video",
        name,
        found,
        {row.class_name: found} if row.class_name else {},
        address(file),
        (shot.start / shot.fps, shot.stop / shot.fps) if shot and shot.fps else None,
        overlay=address(path / "overlay" / f"{name}.mp4"),
        url=_source(record, shot.url, address) if shot else None,
        frames=video.frames if video else len(areas),
        cuts=(video.cut_seconds if video else None) or (),
        uncertain=video.uncertain_frames == video.frames != 0 if video else bool(shot and shot.uncertain),
        thumbnail=None
        if mask is None
        else masked_frame(
            file,
            row.middle,
            mask,
            width,
            kept=masks.frame(name, row.middle),
            frames=shot.frames or None if shot else None,
        ),
        attention=term_thumbnail(masks.term(name, "attention"), width),
        motion=term_thumbnail(masks.term(name, "motion"), width),
        tags=(row.class_name,) if row.class_name else (),
        run="/".join(path.parts[-2:]),
    )


def _source(record: Record, given: str | None, address: Address) -> str | None:
    """A video's page, or the file itself for local videos. Other URLs in a table of videos are ignored."""
    parts = urlsplit(given or "")
    if parts.scheme == "file":
        return address(record.where(url2pathname(parts.path)))
    return given if parts.scheme in ("http", "https") else None
