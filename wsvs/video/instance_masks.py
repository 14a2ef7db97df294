"""From segmented frame graphs to the nodes that are tracked, piece by piece of a video, and back to masks of ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wsvs.core.files import atomic_path
from wsvs.core.runs import INSTANCES
from wsvs.video.frame_graph import FrameGraph
from wsvs.video.nodes import Nodes

NODES = ".nodes"
MOST = 254  # ids of an 8-bit mask: 0 is none, 255 void


def nodes_of(graph: FrameGraph, labels: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """The foreground superpixels of a graph, and (T, H, W) uint16 maps of whole frames: their number in the frame + 1.

    Args:
        labels: (N,) bool, True where foreground.
    """
    frame = np.repeat(np.arange(graph.frames), np.diff(graph.offsets))
    before = np.concatenate([[0], np.cumsum(labels)])
    number = before[:-1]
    local = np.where(labels, number - before[graph.offsets][frame] + 1, 0)
    spatial = graph.spatial[labels[graph.spatial].all(1)]
    kept = labels[graph.temporal].all(1)
    nodes = Nodes(
        frames=graph.frames,
        frame=frame[labels],
        size=graph.sizes[labels],
        centre=graph.centres[labels],
        colour=graph.colours[labels],
        spatial=number[spatial],
        temporal=number[graph.temporal[kept]],
        links=graph.links[kept],
        shot=np.zeros(graph.frames, np.int64),
    )
    return nodes, graph.paint(local.astype(np.uint16))


def kept(folder: Path, name: str) -> Path:
    """The file of a segmented piece, until its video has been tracked."""
    return folder / INSTANCES / NODES / f"{name}.npz"


def save(path: Path, nodes: Nodes, maps: np.ndarray) -> None:
    """Write the nodes and maps of a piece, compressed."""
    content: dict[str, Any] = {**vars(nodes), "maps": maps}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **content)


def load(path: Path) -> tuple[Nodes, np.ndarray]:
    """What `save` has written."""
    with np.load(path) as file:
        content: dict[str, Any] = dict(file)
    maps = content.pop("maps")
    return Nodes(**{**content, "frames": int(content["frames"])}), maps


@dataclass(frozen=True)
class Segment:
    """The nodes of a piece of a video, the maps of its first and last frames, and its place in the video.

    shot: Number of its shot. follows: Does it begin where the piece before it ends?
    """

    nodes: Nodes
    first: np.ndarray
    last: np.ndarray
    shot: int
    follows: bool


def linked(pieces: Sequence[Segment]) -> Nodes:
    """One video of its pieces: superpixels of the frames on both sides of a border are linked where they are the same
    pixels, since no flow is known there.
    """
    frames, count, ends = 0, 0, 0
    parts: dict[str, list[np.ndarray]] = {key: [] for key in vars(pieces[0].nodes) if key != "frames"}
    before: Segment | None = None
    for piece in pieces:
        nodes = piece.nodes
        if before is not None and piece.follows and piece.shot == before.shot:
            pairs, links = _same_place(before.last, piece.first)
            parts["temporal"].append(pairs + np.array([ends - 1, count - 1]))
            parts["links"].append(links)
        parts["frame"].append(nodes.frame + frames)
        parts["shot"].append(np.full(nodes.frames, piece.shot))
        for key in ("spatial", "temporal"):
            parts[key].append(getattr(nodes, key) + count)
        for key in ("size", "centre", "colour", "links"):
            parts[key].append(getattr(nodes, key))
        ends = count + int((nodes.frame < nodes.frames - 1).sum())
        frames, count, before = frames + nodes.frames, count + len(nodes.frame), piece
    return Nodes(frames=frames, **{key: np.concatenate(values) for key, values in parts.items()})


def _same_place(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of numbers from 1 in two maps that share pixels, (E, 2), and how many, (E,)."""
    both = (before > 0) & (after > 0)
    pairs, links = np.unique(np.stack([before[both], after[both]], 1).astype(np.int64), axis=0, return_counts=True)
    return pairs.reshape(-1, 2), links


def id_maps(maps: np.ndarray, nodes: Nodes, ids: np.ndarray) -> np.ndarray:
    """(T, H, W) uint8 ids of the pixels that the maps of a piece number; 0 elsewhere.

    Args:
        ids: (N,) of the nodes, at most `MOST`.
    """
    starts = np.searchsorted(nodes.frame, np.arange(nodes.frames))
    found = np.zeros(maps.shape, np.uint8)
    for t, numbers in enumerate(maps):
        table = np.concatenate([[0], ids[starts[t] : starts[t] + int(numbers.max())]])
        found[t] = table[numbers]
    return found


def limited(nodes: Nodes, ids: np.ndarray) -> np.ndarray:
    """Ids up to `MOST`: of more objects the smallest have none."""
    areas = np.bincount(ids, nodes.size, minlength=1)
    areas[0] = 0
    kept = np.sort(np.argsort(-areas, kind="stable")[: min(MOST, int((areas > 0).sum()))])
    table = np.zeros(len(areas), np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    return table[ids]


def over(mask: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Ids at the size of a mask, (H, W) uint8: each of its pixels has the id of the nearest pixel with one.

    Args:
        mask: (H, W) bool.
        ids: (h, w) uint8 ids of the frame at working size.
    """
    if not ids.any() or not mask.any():
        return np.zeros(mask.shape, np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        (ids == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest.max()) + 1, np.uint8)
    table[nearest[ids > 0]] = ids[ids > 0]
    full = cv2.resize(table[nearest], mask.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return full * mask
