"""Score the masks of a segment run, which cover only the relevant frames of each video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wsvs.core.errors import BadItem
from wsvs.metrics.evaluate import VideoResults
from wsvs.metrics.mask_files import numbered_frames, read_foreground, require_some, resize_nearest
from wsvs.metrics.video import VideoScores


def evaluate_shots(
    masks: Path, shots: Iterable[Mapping[str, Any]], truth: Path, *, boundary: bool = False
) -> tuple[VideoResults, dict[str, int]]:
    """J of every frame that a segment run has masked and that has a true mask, gathered by <class>/<video>.

    Args:
        masks: Folder <shot>/%06d.png, numbered by the frame within the clip.
        shots: Records with "shot", "class", "video", "start", "stop", and "clip_start": the clip's first frame in
            its video.
        truth: Folder <video>/%05d.png, numbered by the frame within the video.

    Returns:
        The scores, and counts: frames masked, scored, and shots whose video has no true masks.
    """
    results = VideoResults(VideoScores(boundary))
    counts = {"masked frames": 0, "scored frames": 0, "shots without true masks": 0}
    for shot in shots:
        counts["masked frames"] += shot["stop"] - shot["start"]
        try:
            true_frames = numbered_frames(truth / shot["video"], "true")
        except BadItem:
            counts["shots without true masks"] += 1
            continue
        for number in range(shot["start"], shot["stop"]):
            true_path = true_frames.get(number + shot["clip_start"])
            if true_path is None:
                continue
            try:
                true_mask = read_foreground(true_path)
                mask = read_foreground(masks / shot["shot"] / f"{number:06d}.png")
            except BadItem as item:
                results.bad.append(item)
                continue
            counts["scored frames"] += 1
            name = f"{shot['class']}/{shot['video']}"
            results.scores.add(name, shot["class"], true_path.stem, resize_nearest(mask, true_mask.shape), true_mask)
    require_some(counts["scored frames"], results.bad)
    return results, counts
