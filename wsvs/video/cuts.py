"""Shot detection: cuts, and odd frames within shots, from small frames only.

Two frames of one shot are similar after motion compensation; frames of two shots are not. Local structure is compared,
so that light, fades and noise have little influence. Frames are 64 px long, and the flow is the fastest preset of dense
inverse search: about a tenth of the cost of the flow for a mask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from wsvs.video.flow import DISFlow

EDGE = 64  # px, longer side of the frames that are compared
MOST_ODD = 4  # maximum number of consecutive odd frames within a shot

_BOX = 7  # px, side of the windows whose structure is compared
_FLOOR = 10.0  # squared grey levels: weaker structure is noise
_BLANK = 4.0  # grey levels: a frame with a smaller standard deviation is blank
_CLEAR = 12.0  # and one with at least this is not faded
# Chosen on one half of the sequences of benchmarks/cuts.py; docs/video.md has the figures of the other.
_APART = 0.5  # minimum distance between the two frames of a cut
_UNLIT = 0.4  # minimum distance without illumination changes
_RISE = 0.2  # minimum excess over the distances of neighbouring pairs
_ALIKE = 0.45  # maximum distance of two frames of one shot with odd frames between them
_LAGS = (8, 16, 24)  # lengths of dissolves that are tested, in frames
_ENDS_APART = 0.5  # minimum distance of the frames before and after a dissolve
_UNMIXED = 0.45  # maximum residual of the frames of a dissolve as mixtures of its ends
_COARSE = 24  # px, longer side of the frames whose mixture is tested


@dataclass(frozen=True)
class Cuts:
    """Cuts in a video.

    Attributes:
        frames: Number of frames.
        cuts: Numbers of the first frames of all shots except the first, ascending.
        odd: Numbers of frames that differ from the shot around them (flash, damage), ascending.
        blank: Numbers of frames with a single colour, ascending.
    """

    frames: int
    cuts: tuple[int, ...] = ()
    odd: tuple[int, ...] = ()
    blank: tuple[int, ...] = ()


def find_cuts(frames: Iterable[np.ndarray]) -> Cuts:
    """The cuts of a video of (H, W, 3) uint8 RGB frames, ideally read at `EDGE`. Only few frames are in memory."""
    finder = CutFinder()
    for frame in frames:
        finder.add(frame)
    return finder.finish()


@dataclass
class _Frame:
    """A frame that is not blank.

    Attributes:
        number: Number in the video.
        grey: (h, w) uint8 at `EDGE`.
        contrast: Standard deviation of `grey`.
        coarse: Flattened float32 at `_COARSE`.
        after_blank: Whether it follows blank frames.
        distance: Distance to the previous frame.
    """

    number: int
    grey: np.ndarray
    contrast: float
    coarse: np.ndarray
    after_blank: bool
    distance: float = 0.0


class CutFinder:
    """Detects cuts in a stream of frames."""

    def __init__(self) -> None:
        self.count = 0
        self.cuts: list[int] = []
        self.odd: list[int] = []
        self.blank: list[int] = []
        self._flow = DISFlow("ultrafast")
        self._ahead: list[_Frame] = []  # undecided frames
        self._past: deque[_Frame] = deque(maxlen=max(_LAGS) + 1)  # the last frames of this shot
        self._recent: deque[float] = deque(maxlen=2)  # their distances
        self._clear: _Frame | None = None  # the last clear frame before a fade
        self._dark: _Frame | None = None  # the first frame after a blank, or the faintest one

    def add(self, frame: np.ndarray) -> None:
        """Add the next frame, (H, W, 3) uint8 RGB."""
        frame = _shrunk(frame, EDGE)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        number, self.count = self.count, self.count + 1
        contrast = float(grey.std())
        if contrast < _BLANK:
            self.blank.append(number)
            return
        after_blank = bool(self.blank) and self.blank[-1] == number - 1
        new = _Frame(number, grey, contrast, _shrunk(frame, _COARSE).astype(np.float32).ravel(), after_blank)
        before = self._ahead[-1] if self._ahead else self._past[-1] if self._past else None
        if before is not None:
            new.distance = self._distance(before, new)
        self._ahead.append(new)
        if len(self._ahead) > MOST_ODD + 2:
            self._decide()

    def finish(self) -> Cuts:
        """The result, after the last frame."""
        while self._ahead:
            self._decide()
        return Cuts(self.count, tuple(self.cuts), tuple(self.odd), tuple(self.blank))

    def _decide(self) -> None:
        """Decide whether the first pending frame is odd, starts a shot, or continues the shot."""
        frame = self._ahead[0]
        if (
            self._dark is None
            and self._past
            and not frame.after_blank
            and self._stands_out(frame)
            and not self._bridge()
            and self._distance(self._past[-1], frame, contrast=False) >= _UNLIT
        ):  # the last: it is not only the light that has changed
            self._cut(frame.number)
        frame = self._ahead.pop(0)
        self._watch_fade(frame)
        self._recent.append(frame.distance)
        self._past.append(frame)
        if self._dark is None:
            self._find_dissolve()
        elif frame.contrast >= _CLEAR or not self._ahead or frame.number - self._dark.number >= max(_LAGS):
            self._end_fade(frame)

    def _watch_fade(self, frame: _Frame) -> None:
        """Whether a fade starts, or gets darker, with the next frame."""
        if self._dark is not None:
            if frame.after_blank or (frame.contrast < self._dark.contrast and not self._dark.after_blank):
                self._dark = frame
            return
        clear = [one for one in self._past if one.contrast >= _CLEAR]
        if self._past and (frame.after_blank or (frame.contrast < _CLEAR and clear)):
            self._clear = clear[-1] if clear else max(self._past, key=lambda one: one.contrast)
            self._dark = frame

    def _end_fade(self, frame: _Frame) -> None:
        """Whether the frame after a fade belongs to another shot."""
        assert self._clear is not None and self._dark is not None
        first, self._dark = self._dark.number, None
        if self._distance(self._clear, frame, contrast=False) >= _APART:
            self._cut(first)
            self._past.append(frame)

    def _bridge(self) -> bool:
        """Whether the shot continues after a few odd frames, earlier or pending ones, which are then removed."""
        for odd in range(1, MOST_ODD + 1):
            for waiting in range(min(odd, len(self._ahead) - 1) + 1):
                if odd - waiting >= len(self._past):
                    continue
                before, after = self._past[waiting - odd - 1], self._ahead[waiting]
                gap = self._distance(before, after)
                if gap <= _ALIKE:
                    gone = [self._past.pop() for _ in range(odd - waiting)][::-1] + self._ahead[:waiting]
                    self.odd += [frame.number for frame in gone]
                    del self._ahead[:waiting]
                    after.distance = gap
                    return True
        return False

    def _stands_out(self, frame: _Frame) -> bool:
        around = sorted([*self._recent, *(later.distance for later in self._ahead[1:3])])
        usual = around[(len(around) - 1) // 2] if around else 0.0
        return frame.distance >= _APART and frame.distance - usual >= _RISE

    def _find_dissolve(self) -> None:
        past = list(self._past)
        for lag in _LAGS:
            if len(past) <= lag:
                return
            window = past[-1 - lag :]
            # Mixtures of unlike frames have less contrast than either; in a fade an end has the least.
            ends = min(window[0].contrast, window[-1].contrast)
            if min(frame.contrast for frame in window[1:-1]) >= ends:
                continue
            rest, middle = unmixed(np.stack([frame.coarse for frame in window]))
            if rest <= _UNMIXED and self._distance(window[0], window[-1], contrast=False) >= _ENDS_APART:
                self._cut(window[middle].number)
                return

    def _cut(self, number: int) -> None:
        self.cuts.append(number)
        self._past.clear()

    def _distance(self, one: _Frame, other: _Frame, *, contrast: bool = True) -> float:
        return distance(one.grey, other.grey, self._flow(one.grey, other.grey), contrast)


def distance(one: np.ndarray, other: np.ndarray, flow: np.ndarray, contrast: bool = True) -> float:
    """Distance of two frames after motion compensation: 0 equal, 1 unrelated, up to 2 for negatives.

    One minus the mean of the contrast and structure terms of SSIM (Wang et al., TIP 2004), invariant to brightness.

    Args:
        one, other: (H, W) uint8.
        flow: (H, W, 2) float32 px, from `one` to `other`.
        contrast: False uses the structure term only, which is invariant to fading.
    """
    y, x = np.mgrid[: one.shape[0], : one.shape[1]].astype(np.float32)
    moved = cv2.remap(other, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    p, q = one.astype(np.float32), moved.astype(np.float32)
    mean_p, mean_q, pp, qq, pq = (cv2.boxFilter(values, -1, (_BOX, _BOX)) for values in (p, q, p * p, q * q, p * q))
    varies_p, varies_q, together = pp - mean_p**2, qq - mean_q**2, pq - mean_p * mean_q
    spread = (varies_p + varies_q) / 2 if contrast else np.sqrt(np.maximum(varies_p * varies_q, 0))
    return float(1 - ((together + _FLOOR / 2) / (spread + _FLOOR / 2)).mean())


def unmixed(window: np.ndarray) -> tuple[float, int]:
    """Test whether the frames between the first and the last are mixtures of these two, as in a dissolve.

    Args:
        window: (T, P) float32, frames as vectors.

    Returns:
        The squared distance from the best mixtures relative to that from the nearer end: 0 for a dissolve of still
        frames, close to 1 for motion and for a hard cut. And the first frame that is closer to the last frame.
    """
    change = window[-1] - window[0]
    total = float(change @ change)
    if total == 0:
        return 1.0, 0
    away = window[1:-1] - window[0]
    share = away @ change / total
    square = np.einsum("tp,tp->t", away, away)
    nearer = np.minimum(square, square - 2 * share * total + total)
    rest = float((square - share**2 * total).sum() / max(float(nearer.sum()), 1e-6))
    return rest, 1 + int(np.argmax(np.append(share, 1.0) > 0.5))


def _shrunk(frame: np.ndarray, edge: int) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = edge / max(height, width)
    if scale >= 1:
        return frame
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
