"""Frames of clips for the scorer: loader workers read and decode them, and find the cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from wsvs.config.base import Positive
from wsvs.config.checked import checked
from wsvs.core.errors import BadItem
from wsvs.data.prefetch import batched
from wsvs.data.work import hand_over
from wsvs.records.shots import Clip
from wsvs.video.cuts import CutFinder, Cuts
from wsvs.video.reader import read_frames


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of a clip, (T, h, w, 3) uint8, after those that came before."""

    clip: Clip
    images: Tensor


@dataclass(frozen=True)
class End:
    """After the last frames of a clip: why it ended before its time, and its cuts from its start on, if wanted."""

    clip: Clip
    broken: str | None
    cuts: Cuts | None


class ClipFrames(IterableDataset["Frames | End"]):
    """Frames of clips, some at a time, each clip followed by its `End`.

    Of N workers each reads every Nth clip.

    Args:
        clips: What to read.
        size: Larger frames are shrunk to this longest side, px.
        batch_size: Frames at a time; the last of a clip may be fewer.
        cuts: Also find the cuts between shots.
    """

    @checked
    def __init__(self, clips: Sequence[Clip], *, size: Positive, batch_size: Positive, cuts: bool = False) -> None:
        self.clips = clips
        self.size = size
        self.batch_size = batch_size
        self.cuts = cuts

    def __iter__(self) -> Iterator[Frames | End]:
        worker = get_worker_info()
        for clip in self.clips if worker is None else self.clips[worker.id :: worker.num_workers]:
            yield from self._read(clip)

    def _read(self, clip: Clip) -> Iterator[Frames | End]:
        finder = CutFinder() if self.cuts else None
        broken = None
        try:
            frames = read_frames(clip.file, clip.start, clip.stop, longest_edge=self.size)
            for group in batched(frames if finder is None else _watched(frames, finder), self.batch_size):
                yield Frames(clip, torch.from_numpy(np.stack(group)))
        except BadItem as error:
            broken = error.message
        yield End(clip, broken, None if finder is None else finder.finish())


class ClipLoader:
    """The loader of a loop that ends a clip in each step: every step gets the frames of all clips that are not done.

    As many clips as there are workers are read at once, and their frames come in turns. So memory does not grow with a
    clip's length, and all workers decode for the network, whatever the length of the clips.

    Args:
        dataset: The frames.
        workers: Loader processes; 0 reads in the main process.
    """

    def __init__(self, dataset: ClipFrames, workers: int) -> None:
        self.steps = len(dataset.clips)
        self.frames = hand_over(dataset, workers, ahead=2)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Iterator[Frames | End]]:
        frames = iter(self.frames)
        for _ in range(self.steps):
            yield frames


def _watched(frames: Iterator[np.ndarray], finder: CutFinder) -> Iterator[np.ndarray]:
    for frame in frames:
        finder.add(frame)
        yield frame
