"""The input of the energy: a few small arrays per frame, computed in one pass over the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from time import perf_counter

import cv2
import numpy as np

from wsvs.core.errors import UserError
from wsvs.video.camera import camera_plane, plane_motion
from wsvs.video.evidence import detail, own_motion
from wsvs.video.flow import FLOWS, Flow
from wsvs.video.graph import flow_percentage, spatial_edges, temporal_links
from wsvs.video.inside_outside import inside_map, reliability
from wsvs.video.layout import Area, active_area
from wsvs.video.settings import SegmentSettings
from wsvs.video.superpixels import Means, means, slic, superpixel_means

_HEAD = 12  # first frames that are used to detect bars


@dataclass(frozen=True)
class FrameGraph:
    """The graph G = (S, E) of section 3.2 without its weights, for T frames and N superpixels.

    Superpixels are numbered through the video: frame t owns offsets[t] to offsets[t + 1].

    Attributes:
        labels: (T, H, W) int16 or int32, numbered from 0 in each frame; of the frames without bars, if they have any.
        offsets: (T+1,) int64, first superpixel of each frame.
        sizes: (N,) int32 px.
        colours: (N, 3) float32 mean RGB.
        centres: (N, 2) float32 mean (row, column).
        spatial: (E_s, 2) int32, sorted within each frame.
        temporal: (E_t, 2) int32, sorted.
        phi_t: (E_t,) float64, share of the pixels that the flow connects.
        links: (E_t,) int32, number of those pixels.
        inside: (N,) float32, ratio r of pixels inside motion boundaries; 0 in the last frame. Empty, as is `psi`, if
            `settings.motion` is "contrast", which does not use them.
        psi: (N,) float32, reliability of the flow; 1 in the last frame.
        moves: (N, 2, 2) float32 px, mean motion to the next and from the previous frame, (right, down), relative to
            the camera's (`wsvs.video.camera`); empty unless `settings.motion` is "contrast".
        own: (N,) float32, evidence of object motion (`wsvs.video.evidence`); 0 in the last frame.
        area: Rows and columns of the frames that `labels` covers (`wsvs.video.layout`).
        shape: (height, width) of the whole frames.
        seconds: Time of each step.
    """

    labels: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    colours: np.ndarray
    centres: np.ndarray
    spatial: np.ndarray
    temporal: np.ndarray
    phi_t: np.ndarray
    links: np.ndarray
    inside: np.ndarray
    psi: np.ndarray
    moves: np.ndarray
    own: np.ndarray
    area: Area
    shape: tuple[int, int]
    seconds: dict[str, float]

    @property
    def frames(self) -> int:
        return len(self.labels)

    @property
    def nodes(self) -> int:
        return int(self.offsets[-1])

    def paint(self, values: np.ndarray) -> np.ndarray:
        """(N,) values of superpixels -> (T, height, width) maps of the whole frames; bars are 0."""
        painted = np.zeros((self.frames, *self.shape), values.dtype)
        for t, labels in enumerate(self.labels):
            painted[t][self.area] = values[self.offsets[t] : self.offsets[t + 1]].take(labels, mode="clip")  # no check
        return painted

    def means(self, maps: np.ndarray) -> np.ndarray:
        """(T, h, w) maps -> (N,) means over superpixels; maps of another size are resized bilinearly."""
        if len(maps) != self.frames or maps.ndim != 3:
            raise ValueError(f"maps must be (h, w) for each of {self.frames} frames, got {maps.shape}")
        height, width = self.shape
        values = np.empty(self.nodes)
        for t, labels in enumerate(self.labels):
            one = np.ascontiguousarray(maps[t], np.float32)
            if one.shape != (height, width):
                one = cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR)
            first, end = self.offsets[t : t + 2]
            values[first:end] = superpixel_means(labels, one[self.area], end - first)
        return values


def working_size(height: int, width: int, longest_edge: int = 400) -> tuple[int, int]:
    """(height, width) at which a frame is segmented: longer side at most `longest_edge`, never enlarged."""
    scale = min(1.0, longest_edge / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def describe_frames(
    frames: Iterable[np.ndarray],
    settings: SegmentSettings | None = None,
    *,
    flow: Flow | None = None,
    superpixels: Callable[[np.ndarray], np.ndarray] | None = None,
) -> FrameGraph:
    """Compute everything that needs the frames of a video, but no network. At most 12 frames are in memory at a time.

    Args:
        frames: (H, W, 3) uint8 RGB, all of equal size; larger ones are shrunk to `working_size`.
        settings: Defaults if None.
        flow: Replaces the flow of `settings`.
        superpixels: Replaces SLIC: frame -> (H, W) labels 0..K-1, all in use; bars are then not detected.

    Returns:
        NumPy arrays only, so that it can be sent between processes.

    Raises:
        ValueError: No frames, or frames of different sizes or not (H, W, 3) uint8.
    """
    settings = settings or SegmentSettings()
    flow = flow or FLOWS[settings.flow]()
    draft = _Draft()
    before: np.ndarray | None = None
    fitted = _fitted(frames, settings.longest_edge)
    head = list(islice(fitted, _HEAD))
    if head:
        draft.shape = head[0].shape[:2]
        draft.area = (slice(0, draft.shape[0]), slice(0, draft.shape[1]))
    if head and superpixels is None:
        with draft.timed("layout"):
            draft.area = active_area(head)
        share = head[0][draft.area].size / head[0].size
        settings = settings.replaced(superpixels=max(1, round(settings.superpixels * share)))
    for frame in chain(head, fitted):
        frame = np.ascontiguousarray(frame[draft.area])
        with draft.timed("superpixels"):
            if superpixels is not None:
                labels = superpixels(frame)
                if labels.shape != frame.shape[:2]:
                    raise ValueError(f"superpixels must be {frame.shape[:2]}, got {labels.shape}")
            else:
                labels = slic(
                    frame,
                    count=settings.superpixels,
                    compactness=settings.compactness,
                    method=settings.superpixel_method,
                )
        draft.add(frame, labels)
        if before is not None:
            draft.connect(before, frame, flow, settings)
        before = frame
    return draft.finish()


def _fitted(frames: Iterable[np.ndarray], longest_edge: int) -> Iterator[np.ndarray]:
    """Frames at working size, all of one size."""
    shape: tuple[int, ...] | None = None
    for frame in frames:
        fitted = _fit(frame, longest_edge)
        if shape is not None and shape != fitted.shape:
            raise ValueError(f"frames of one video have one size, got {shape} and {fitted.shape}")
        shape = fitted.shape
        yield fitted


def _checked(flow: np.ndarray, frame: np.ndarray) -> np.ndarray:
    if flow.shape != (*frame.shape[:2], 2) or not np.isfinite(flow).all():
        bad = "it has nan or inf" if flow.shape == (*frame.shape[:2], 2) else f"got {flow.shape}"
        raise UserError(
            f"an optical flow must be finite and {(*frame.shape[:2], 2)}: {bad}",
            where="the flow between two frames",
            remedy="fix the plugin",
            kind="flow",
        )
    return flow


def _fit(frame: np.ndarray, longest_edge: int) -> np.ndarray:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"a frame is (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
    size = working_size(frame.shape[0], frame.shape[1], longest_edge)
    if size != frame.shape[:2]:
        frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(frame)


@dataclass
class _Draft:
    """Collects lists frame by frame; `finish` numbers the superpixels through the video."""

    labels: list[np.ndarray] = field(default_factory=list)
    statistics: list[Means] = field(default_factory=list)
    spatial: list[np.ndarray] = field(default_factory=list)
    temporal: list[np.ndarray] = field(default_factory=list)
    links: list[np.ndarray] = field(default_factory=list)
    inside: list[np.ndarray] = field(default_factory=list)
    psi: list[np.ndarray] = field(default_factory=list)
    moves: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # of a pair: to, from
    own: list[np.ndarray] = field(default_factory=list)
    area: Area = (slice(0), slice(0))
    shape: tuple[int, int] = (0, 0)
    details: tuple[np.ndarray, np.ndarray] = (np.zeros((0, 0), np.float32),) * 2  # of the two frames added last
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + perf_counter() - start

    def add(self, frame: np.ndarray, labels: np.ndarray) -> None:
        """Add a frame's superpixels."""
        with self.timed("statistics"):
            self.statistics.append(means(labels, frame))
        with self.timed("adjacency"):
            self.spatial.append(spatial_edges(labels))
        with self.timed("evidence"):
            self.details = (self.details[1], detail(frame))
        short = len(self.statistics[-1].size) <= np.iinfo(np.int16).max
        self.labels.append(labels.astype(np.int16 if short else np.int32))

    def connect(self, before: np.ndarray, frame: np.ndarray, flow: Flow, settings: SegmentSettings) -> None:
        """Add the motion from the previous frame to the one added last."""
        with self.timed("flow"):
            moved = _checked(flow(before, frame), before)
        with self.timed("links"):
            edges, links = temporal_links(self.labels[-2], self.labels[-1], moved)
            self.temporal.append(edges)
            self.links.append(links)
        labels, statistics = self.labels[-2], self.statistics[-2]
        with self.timed("moves"):
            motion, plane = _motion(labels, statistics, moved)
        with self.timed("evidence"):
            self.own.append(own_motion(*self.details, moved, motion, plane, labels, statistics.centre))
        if settings.motion == "contrast":
            with self.timed("flow"):
                came = -_checked(flow(frame, before), frame)
            with self.timed("moves"):
                later, camera = _motion(self.labels[-1], self.statistics[-1], came)
                to = motion - plane_motion(plane, statistics.centre, labels.shape)
                self.moves.append((to, later - plane_motion(camera, self.statistics[-1].centre, labels.shape)))
            return
        with self.timed("inside-outside"):
            inside, magnitude = inside_map(
                moved, grad=settings.grad, angle=settings.angle, cleanup=settings.cleanup, gain=settings.gain
            )
            ratio, change = superpixel_means(labels, np.stack([inside, magnitude], axis=2), len(statistics.size)).T
            self.inside.append(ratio)
            self.psi.append(reliability(change))

    def finish(self) -> FrameGraph:
        """Number the superpixels through the video."""
        if not self.labels:
            raise ValueError("a video has at least one frame, got none")
        counts = [len(one.size) for one in self.statistics]
        offsets = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
        spatial = [edges + np.int32(first) for edges, first in zip(self.spatial, offsets, strict=False)]
        temporal = [np.zeros((0, 2), np.int32)] + [
            edges + offsets[t : t + 2].astype(np.int32) for t, edges in enumerate(self.temporal)
        ]
        edges, links = np.concatenate(temporal), np.concatenate([np.zeros(0, np.int32), *self.links])
        last = np.zeros(counts[-1], np.float32)  # no flow leaves the last frame
        ratios = not self.moves  # else the motion term is another one
        return FrameGraph(
            labels=np.stack(self.labels),
            offsets=offsets,
            sizes=np.concatenate([one.size for one in self.statistics]),
            colours=np.concatenate([one.colour for one in self.statistics]),
            centres=np.concatenate([one.centre for one in self.statistics]),
            spatial=np.concatenate(spatial),
            temporal=edges,
            phi_t=flow_percentage(edges, links, int(offsets[-1])),
            links=links,
            inside=np.concatenate([*self.inside, last] if ratios else [last[:0]], dtype=np.float32),
            psi=np.concatenate([*self.psi, last + 1] if ratios else [last[:0]], dtype=np.float32),
            moves=self._moves(counts),
            own=np.concatenate([*self.own, last], dtype=np.float32),
            area=self.area,
            shape=self.shape,
            seconds=self.seconds,
        )

    def _moves(self, counts: list[int]) -> np.ndarray:
        """`FrameGraph.moves`; in the first and the last frame, the missing motion is that of the other direction."""
        if not self.moves:
            return np.zeros((0, 2, 2), np.float32)
        to, came = zip(*self.moves, strict=True)
        ways = np.concatenate([*to, came[-1]]), np.concatenate([to[0], *came])
        return np.stack(ways, axis=1).astype(np.float32)


def _motion(labels: np.ndarray, statistics: Means, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean flow of superpixels, (K, 2) px, and the camera's part of it, a `camera_plane`."""
    motion = superpixel_means(labels, flow, len(statistics.size))
    return motion, camera_plane(motion, statistics.centre, labels.shape)
