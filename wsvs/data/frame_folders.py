"""Convert video data sets stored as folders of JPEG frames to video files, with true masks numbered consistently.

<prepared>/videos/...      one Matroska file per shot with the original JPEGs as frames (Motion JPEG)
<prepared>/masks/<video>/%05d.png  true masks, 0 and 1, numbered by frame within the video, from 0
<prepared>/*.tsv           video and comma-separated classes
<prepared>/prepared.json   written last
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_json, write_text
from wsvs.core.frame_folders import write_video
from wsvs.core.masks import read_mask, write_mask
from wsvs.data.image_files import inspect_image
from wsvs.data.report import Progress, Report
from wsvs.records.masks import frame_name

PREPARED = "prepared.json"
_JPEG_FOREGROUND = 128  # compression blurs the two values 0 and 255


@dataclass(frozen=True)
class FrameFolder:
    """One shot.

    Attributes:
        video: Its name, a relative path; true masks and predictions are in a folder with this name.
        file: The video file to write, relative to the folder of videos.
        frames: {number in the download: JPEG}, in ascending order.
        masks: {number in the download: true mask}; may be empty, or for some frames only.
        classes: Tags.
    """

    video: str
    file: str
    frames: Mapping[int, Path]
    masks: Mapping[int, Path]
    classes: tuple[str, ...]


def make_videos(
    shots: Sequence[FrameFolder],
    root: Path,
    masks: Path,
    *,
    rate: int,
    same_size: bool,
    report: Report,
    progress: Progress,
) -> None:
    """Write the videos and masks of all complete shots; problems are added to the report.

    Existing files are kept.

    Args:
        root: Folder of the videos.
        masks: Folder of the true masks.
        rate: Frame rate in the files.
        same_size: True masks must have the size of the frames; otherwise only the same aspect ratio.
    """
    faults: dict[str, list[str]] = {"broken": [], "sizes": [], "stray": [], "masks": [], "shape": []}
    for shot in progress(shots, "videos"):
        numbers = {number: index for index, number in enumerate(shot.frames)}
        faults["stray"] += [f"{shot.video}/{mask.name}" for n, mask in shot.masks.items() if n not in numbers]
        try:
            sizes = {inspect_image(path) for path in shot.frames.values()}
        except BadItem as item:
            faults["broken"].append(f"{shot.video} ({Path(str(item.where)).name})")
            continue
        if len(sizes) > 1:
            faults["sizes"].append(shot.video)
            continue
        [size] = sizes
        if not (root / shot.file).is_file():
            write_video(root / shot.file, list(shot.frames.values()), size, rate)
        for number, path in shot.masks.items():
            target = masks / f"{frame_name(shot.video, numbers.get(number, 0))}.png"
            if number in numbers and not target.is_file():
                try:
                    mask = _read(path)
                except BadItem:
                    faults["masks"].append(f"{shot.video}/{path.name}")
                    continue
                if not _fits(mask, size, same_size):
                    faults["shape"].append(f"{shot.video}/{path.name}")
                    continue
                write_mask(target, mask)
    again = "the download is damaged or incomplete: unpack it again"
    report.add_items(faults["broken"], "videos with a frame that cannot be read", "frames", again)
    report.add_items(faults["sizes"], "videos with frames of several sizes", "frames", again)
    report.add_items(faults["stray"], "true masks without a frame", "true masks", again)
    report.add_items(faults["masks"], "true masks that cannot be read", "true masks", again)
    report.add_items(faults["shape"], "true masks of another size than their frames", "true masks", again)


def finish(
    prepared: Path,
    name: str,
    shots: Sequence[FrameFolder],
    tables: Mapping[str, Mapping[str, Sequence[str]]],
    report: Report,
) -> None:
    """Add the counts to the report; without problems write the tables {file: {video: classes}} and prepared.json."""
    report.counts |= {
        "videos": len(shots),
        "frames": sum(len(shot.frames) for shot in shots),
        "videos with true masks": sum(bool(shot.masks) for shot in shots),
        "true masks": sum(len(shot.masks) for shot in shots),
    }
    for shot in shots:
        for tag in shot.classes:
            row = report.by_class.setdefault(tag, {"videos": 0, "frames": 0, "true masks": 0})
            row["videos"] += 1
            row["frames"] += len(shot.frames)
            row["true masks"] += len(shot.masks)
    if not report.fatal:
        for file, table in tables.items():
            rows = "".join(f"{video}\t{','.join(tags)}\n" for video, tags in table.items())
            write_text(prepared / file, f"video\ttags\n{rows}")
        write_json(prepared / PREPARED, {"data": name, "counts": report.counts})


def numbered(folder: Path, suffix: str, prefix: str = "") -> dict[int, Path]:
    """{number: file} of <prefix><digits><suffix>, in ascending order; {} if the folder does not exist."""
    found = {}
    for path in folder.glob(f"{prefix}*{suffix}") if folder.is_dir() else ():
        digits = path.name[len(prefix) : -len(suffix)]
        if digits.isascii() and digits.isdigit():
            found[int(digits)] = path
    return dict(sorted(found.items()))


def folders(path: Path) -> Iterator[Path]:
    """Subfolders, sorted by name, without hidden ones."""
    if path.is_dir():
        yield from sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def not_images(name: str) -> UserError:
    """The error for a stage that needs tagged images but gets a video data set."""
    return UserError(
        f"data={name} are videos, and this stage needs tagged images",
        where=f"data={name}",
        remedy="use data=voc12 for the images; docs/tables.md shows how to use the videos",
    )


def _read(path: Path) -> np.ndarray:
    """(H, W) uint8, 1 = object."""
    if path.suffix.lower() == ".png":
        return (read_mask(path) > 0).astype(np.uint8)
    inspect_image(path)
    with Image.open(path) as image:
        return (np.asarray(image.convert("L")) >= _JPEG_FOREGROUND).astype(np.uint8)


def _fits(mask: np.ndarray, size: tuple[int, int], same: bool) -> bool:
    """Whether a mask has the size (width, height), or its aspect ratio within a pixel and 2 percent."""
    height, width = mask.shape
    if same:
        return (width, height) == size
    return bool(abs(height * size[0] / width - size[1]) <= 1 + 0.02 * size[1])
