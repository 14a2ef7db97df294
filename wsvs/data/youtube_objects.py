"""YouTube-Objects v1 with the true masks of Jain and Grauman: `data=youtube_objects`. `stage=data` prepares it once.

    <folder>/v1/<class>/data/<video>/shots/<shot>/frame%04d.jpg               frames as downloaded
    <folder>/youtube_masks/<class>/data/<video>/shots/<shot>/labels/%05d.jpg  true masks, about every tenth frame

A mask has the number of its frame. Shots with true masks become videos/benchmark/<class>/<video>_<shot>.mkv, all
others videos/more/<class>/...
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsvs.data.frame_folders import PREPARED, FrameFolder, finish, folders, make_videos, not_images, numbered
from wsvs.data.report import Progress, Report, quiet

CLASSES = ("aeroplane", "bird", "boat", "car", "cat", "cow", "dog", "horse", "motorbike", "train")
ANNOTATED = 126  # shots, of Jain and Grauman, "Supervoxel-consistent foreground propagation in video", ECCV 2014
RATE = 25
FRAMES_URL = "http://calvin.inf.ed.ac.uk/datasets/youtube-objects-dataset/ (version 1; version 2 has other frames)"
MASKS_URL = "the page of its authors (Jain and Grauman, ECCV 2014, masks for YouTube-Objects)"


@dataclass(frozen=True)
class YouTubeObjects:
    """YouTube-Objects.

    Args:
        folder: Contains v1/ and youtube_masks/ as downloaded.
        prepared: Where videos, masks and tables are written.
    """

    folder: str
    prepared: str

    def prepare(self) -> None:
        raise not_images("youtube_objects")

    def make(self, progress: Progress = quiet) -> Report:
        """Check the download, write the videos, their masks and two tables; prepared.json last."""
        folder, prepared = Path(self.folder), Path(self.prepared)
        report = Report()
        (prepared / PREPARED).unlink(missing_ok=True)
        for name, url in (("v1", FRAMES_URL), ("youtube_masks", MASKS_URL)):
            if not (folder / name).is_dir():
                report.add("a folder is missing", folder / name, f"get it from {url}; data.folder=DIR names its parent")
        if report.problems:
            return report
        lost = [name for name in CLASSES if not (folder / "v1" / name / "data").is_dir()]
        report.add_items(lost, "missing classes", folder / "v1", f"get their frames from {FRAMES_URL}")
        stray = [place.name for place in folders(folder / "v1") if place.name not in CLASSES]
        report.add_items(stray, "folders that are not classes, not used", folder / "v1", "none needed", fatal=False)
        shots = list(_shots(folder))
        report.add_items(
            [shot.video for shot in shots if not shot.frames],
            "shots with true masks but without frames",
            folder / "v1",
            f"get the frames from {FRAMES_URL}",
        )
        whole = [shot for shot in shots if shot.frames]
        annotated = [shot for shot in whole if shot.masks]
        if len(annotated) != ANNOTATED:
            report.add(
                f"shots with true masks: {len(annotated)}, expected {ANNOTATED}",
                folder / "youtube_masks",
                "averages over other shots cannot be compared with those of papers",
                fatal=False,
            )
        make_videos(
            whole,
            prepared / "videos",
            prepared / "masks",
            rate=RATE,
            same_size=False,
            report=report,
            progress=progress,
        )
        tables = {
            "videos.tsv": {shot.file.removesuffix(".mkv"): shot.classes for shot in whole},
            "benchmark.tsv": {shot.video: shot.classes for shot in annotated},
        }
        finish(prepared, "youtube_objects", whole, tables, report)
        return report


def _shots(folder: Path) -> Iterator[FrameFolder]:
    """All shots of all classes, including those with true masks but without frames."""
    for name in CLASSES:
        frames, truth = folder / "v1" / name / "data", folder / "youtube_masks" / name / "data"
        places = {
            shot.relative_to(base).as_posix()
            for base in (frames, truth)
            for video in folders(base)
            for shot in folders(video / "shots")
        }
        for place in sorted(places):
            masks = numbered(truth / place / "labels", ".jpg")
            if masks or (frames / place).is_dir():
                video, _, shot = place.partition("/shots/")
                one = f"{name}/{video}_{shot}"
                file = f"{'benchmark' if masks else 'more'}/{one}.mkv"
                yield FrameFolder(one, file, numbered(frames / place, ".jpg", "frame"), masks, (name,))
