"""Shots for the segmenter: loader workers decode them and do all that needs no network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from wsvs.core.errors import BadItem
from wsvs.data.work import Item


class ShotDataset(Dataset):
    """Decoded shots with their graphs.

    An item is {"item", "frames" (T, h, w, 3) uint8 RGB at working size, "graph", "decode" seconds}, or {"item", "bad"}.

    Args:
        items: Shots with "file", "start", "stop".
        describe: Frames -> graph (`wsvs.video.frame_graph.describe_frames` with its settings).
        read: (file, start, stop) -> frames (`wsvs.video.reader.read_frames` with the working size).
    """

    def __init__(self, items: Sequence[Item], *, describe: Any, read: Any) -> None:
        self.items = items
        self.describe = describe
        self.read = read

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.items[index]
        begun = time.perf_counter()
        try:
            frames = np.stack(list(self.read(item["file"], item["start"], item["stop"])))
        except (BadItem, ValueError) as error:
            return {"item": item, "bad": str(error)}
        decoded = time.perf_counter() - begun
        return {"item": item, "frames": frames, "graph": self.describe(frames), "decode": decoded}
