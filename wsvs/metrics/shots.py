"""Score the masks of a segment run: of the relevant frames of each video, or of whole videos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import read_json
from wsvs.core.tars import File
from wsvs.metrics.evaluate import Progress, VideoResults, evaluate_video
from wsvs.metrics.mask_files import FROM_ONE, numbered_frames, read_foreground, require_some, resize_nearest
from wsvs.metrics.video import VideoScores
from wsvs.records.masks import MaskSet
from wsvs.records.shots import Shot


def evaluate_shots(
    masks: MaskSet,
    truth: Path,
    *,
    boundary: bool = False,
    truth_offset: int | None = None,
    progress: Progress | None = None,
) -> tuple[VideoResults, dict[str, int]]:
    """J of every frame that a segment run has masked and that has a true mask, gathered by <class>/<video>.

    Args:
        masks: Of shots.
        truth: Folder <video>/%05d.png, numbered by the frame within the video.
        boundary: Also take the boundary F of every frame.
        truth_offset: Number of the first frame in the names of true masks; None is 0.
        progress: Wraps the shots to show progress.

    Returns:
        The scores, and counts: frames masked, scored, and shots whose video has no true masks.
    """
    results = VideoResults(VideoScores(boundary), truth_offset=truth_offset or 0)
    starts: set[int] = set()
    counts = {"masked frames": 0, "scored frames": 0, "shots without true masks": 0}
    for shot in (progress or iter)(Shot.read(masks.listing)):
        counts["masked frames"] += shot.stop - shot.start
        try:
            true_frames = numbered_frames(truth / shot.video, "true", results.truth_offset)
        except BadItem:
            counts["shots without true masks"] += 1
            continue
        starts.add(min(true_frames))
        for number in range(shot.start, shot.stop):
            true_path = true_frames.get(number + shot.clip_start)
            if true_path is None:
                continue
            try:
                true_mask = read_foreground(true_path)
                mask = read_foreground(masks.mask(shot.name, number))
            except BadItem as item:
                results.bad.append(item)
                continue
            counts["scored frames"] += 1
            name = f"{shot.class_name}/{shot.video}"
            results.scores.add(name, shot.class_name, true_path.stem, resize_nearest(mask, true_mask.shape), true_mask)
    require_some(counts["scored frames"], results.bad)
    if truth_offset is None and starts == {1}:
        results.notes.append(FROM_ONE)
    return results, counts


def evaluate_videos(
    masks: MaskSet,
    truth: Path,
    table: Mapping[str, str] | None = None,
    *,
    boundary: bool = False,
    truth_offset: int | None = None,
    progress: Progress | None = None,
) -> tuple[VideoResults, dict[str, int]]:
    """J of every frame with a true mask of the videos that a segment run has segmented whole.

    Args:
        masks: Of whole videos.
        truth: As for `evaluate_shots`.
        table: {video: class} instead of the records' classes.
        boundary: Also take the boundary F of every frame.
        truth_offset: See `evaluate_video`.
        progress: Wraps the videos to show progress.

    Returns:
        The scores, videos with true masks that the run has skipped among what is bad: an average that is silent about
        them is too high. And counts: videos without true masks.

    Raises:
        UserError: No video has true masks.
    """
    classes = {video.name: video.class_name for video in masks.rows()}
    segmented = set(classes)
    if table is not None:
        classes |= {video: table[video] for video in classes if video in table}
    known = {video: name for video, name in classes.items() if (truth / video).is_dir()}
    if not known:
        raise UserError(
            f"none of the {len(classes)} videos has true masks",
            where=truth,
            remedy="true masks are <video>/00000.png, with the names of the videos",
        )

    def predicted(video: str) -> Mapping[int, File]:
        if found := masks.numbered(video):
            return found
        raise BadItem("no predicted masks of this video", where=masks.masks / video)

    results = evaluate_video(
        masks.masks,
        truth,
        known,
        boundary=boundary,
        truth_offset=truth_offset,
        progress=progress,
        predicted=predicted,
    )
    skipped = masks.folder / "skipped.json"
    results.bad += [
        BadItem(f"not segmented: {row['reason']}", where=masks.masks / row["item"])
        for row in (read_json(skipped) if skipped.is_file() else ())
        if row["item"] not in segmented and (truth / row["item"]).is_dir()
    ]
    return results, {"videos without true masks": len(classes) - len(known)}
