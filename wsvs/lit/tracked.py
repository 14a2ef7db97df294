"""The instances of a segment run: masks of track ids beside the masks of classes, video by video."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from wsvs.core.files import read_json, write_json
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.progress import follow
from wsvs.core.runs import INSTANCES
from wsvs.data.work import ItemDataset, hand_over
from wsvs.lit.segmenter import mask_sources
from wsvs.records.masks import MaskSet
from wsvs.records.row import write_rows
from wsvs.records.shots import Piece, SegmentedPiece, Track
from wsvs.video.instance_masks import NODES, Segment, id_maps, kept, limited, linked, load, over
from wsvs.video.instances import track

TRACKS = "tracks.jsonl"
TRACKED = ".tracked"  # below the instances: a video's tracks, once all of them are written


def track_videos(masks: MaskSet, pieces: Iterable[Piece], names: Sequence[str], workers: int) -> int:
    """Write instances/<video>/<number>.png of every video and tracks.jsonl; returns the number of tracks.

    The result depends on the videos alone: each is tracked by one process, whatever their number.

    Args:
        masks: Those of the segment run, all written.
        pieces: All pieces, those of a video in turn.
        names: Of the labels 0, 1, ...
        workers: Processes.
    """
    folder = masks.folder / INSTANCES
    done = masks.ledger
    videos: dict[str, list[Piece]] = {}
    for piece in pieces:
        if done.get(piece.id, SegmentedPiece) is not None:
            videos.setdefault(piece.of, []).append(piece)
    said = {video: folder / TRACKED / f"{video}.json" for video in videos}
    todo = [found for video, found in videos.items() if not said[video].is_file()]
    work: Iterable[tuple[str, list[_Track]]] = hand_over(
        ItemDataset(todo, partial(_track, masks=masks)), min(workers, len(todo))
    )
    for video, tracks in follow(work, "tracked videos", len(todo)):
        write_json(said[video], [vars(one) for one in tracks])

    def rows() -> Iterator[Track]:
        for video, found in videos.items():
            label = found[0].label
            name = names[label] if label < len(names) else ""
            for one in read_json(said[video]):
                yield Track(video=video, **one, label=label, class_name=name)

    count = write_rows(masks.folder / TRACKS, rows())
    shutil.rmtree(folder / NODES, ignore_errors=True)
    return count


@dataclass
class _Track:
    """See `Track`."""

    track: int
    first: int
    last: int = 0
    frames: int = 0
    area: float = 0.0

    def add(self, number: int, area: float) -> None:
        self.last, self.frames, self.area = number, self.frames + 1, self.area + area


def _track(pieces: Sequence[Piece], masks: MaskSet) -> tuple[str, list[_Track]]:
    """All masks of one video; returns its name and its tracks."""
    parts: list[Segment] = []
    stop = -1
    for piece in pieces:
        nodes, maps = load(kept(masks.folder, piece.id))
        parts.append(Segment(nodes, maps[0], maps[-1], piece.shot, piece.start == stop))
        stop = piece.stop
    nodes = linked(parts)
    ids = limited(nodes, track(nodes))
    tracks: dict[int, _Track] = {}
    begin = 0
    for piece, part in zip(pieces, parts, strict=True):
        mine = ids[begin : begin + len(part.nodes.frame)]
        begin += len(mine)
        maps = id_maps(load(kept(masks.folder, piece.id))[1], part.nodes, mine)
        for t, source in enumerate(mask_sources(piece, len(maps))):
            number = piece.start + t
            mask = read_mask(masks.mask(piece.name, number)) > 0
            full = over(mask, maps[source[0]]) if source is not None else np.zeros(mask.shape, np.uint8)
            write_mask(masks.folder / INSTANCES / f"{masks.frame_name(piece.name, number)}.png", full)
            areas = np.bincount(full.ravel())
            for one in (np.flatnonzero(areas[1:]) + 1).tolist():
                tracks.setdefault(one, _Track(one, number)).add(number, int(areas[one]) / full.size)
    for found in tracks.values():
        found.area = round(found.area / found.frames, 5)
    return pieces[0].of, [tracks[one] for one in sorted(tracks)]
