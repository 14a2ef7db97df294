"""DAVIS 2016 as videos with true masks: `data=davis`. `stage=data` prepares it once.

<folder>/JPEGImages/480p/<sequence>/%05d.jpg  Annotations/480p/<sequence>/%05d.png     as downloaded
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsvs.data.frame_folders import PREPARED, FrameFolder, finish, folders, make_videos, not_images, numbered
from wsvs.data.report import Progress, Report, quiet

URL = "https://davischallenge.org/davis2016/code.html (DAVIS 2016, 480p)"
RATE = 24
_GET = f"get it from {URL}, unpack it, and name its folder DAVIS with data.folder=DIR"

# PASCAL classes in each sequence; DAVIS itself has no classes.
TRAIN = {
    "bear": (),
    "bmx-bumps": ("bicycle", "person"),
    "boat": ("boat",),
    "breakdance-flare": ("person",),
    "bus": ("bus",),
    "car-turn": ("car",),
    "dance-jump": ("person",),
    "dog-agility": ("dog",),
    "drift-turn": ("car",),
    "elephant": (),
    "flamingo": ("bird",),
    "hike": ("person",),
    "hockey": ("person",),
    "horsejump-low": ("horse", "person"),
    "kite-walk": ("person",),
    "lucia": ("person",),
    "mallard-fly": ("bird",),
    "mallard-water": ("bird",),
    "motocross-bumps": ("motorbike", "person"),
    "motorbike": ("motorbike", "person"),
    "paragliding": ("person",),
    "rhino": (),
    "rollerblade": ("person",),
    "scooter-gray": ("motorbike", "person"),
    "soccerball": (),
    "stroller": ("person",),
    "surf": (),
    "swing": ("person",),
    "tennis": ("person",),
    "train": ("train",),
}
VAL = {
    "blackswan": ("bird",),
    "bmx-trees": ("bicycle", "person"),
    "breakdance": ("person",),
    "camel": (),
    "car-roundabout": ("car",),
    "car-shadow": ("car",),
    "cows": ("cow",),
    "dance-twirl": ("person",),
    "dog": ("dog",),
    "drift-chicane": ("car",),
    "drift-straight": ("car",),
    "goat": (),
    "horsejump-high": ("horse", "person"),
    "kite-surf": ("person",),
    "libby": ("dog",),
    "motocross-jump": ("motorbike", "person"),
    "paragliding-launch": ("person",),
    "parkour": ("person",),
    "scooter-black": ("motorbike", "person"),
    "soapbox": ("person",),
}


@dataclass(frozen=True)
class DavisVideos:
    """DAVIS 2016.

    Args:
        folder: DAVIS as downloaded.
        prepared: Where videos, masks and tables are written.
    """

    folder: str
    prepared: str

    def prepare(self) -> None:
        raise not_images("davis")

    def make(self, progress: Progress = quiet) -> Report:
        """Check the download; write videos/<train or val>/<sequence>.mkv and masks, and prepared.json last."""
        folder, prepared = Path(self.folder), Path(self.prepared)
        report = Report()
        (prepared / PREPARED).unlink(missing_ok=True)
        frames, truth = folder / "JPEGImages" / "480p", folder / "Annotations" / "480p"
        for place in (frames, truth):
            if not place.is_dir():
                report.add("a folder is missing", place, _GET)
        if report.problems:
            return report
        shots = [
            FrameFolder(
                name, f"{split}/{name}.mkv", numbered(frames / name, ".jpg"), numbered(truth / name, ".png"), classes
            )
            for split, sequences in (("train", TRAIN), ("val", VAL))
            for name, classes in sequences.items()
        ]
        known = TRAIN.keys() | VAL.keys()
        stray = [place.name for place in folders(frames) if place.name not in known]
        report.add_items(
            stray,
            "folders that are not sequences of DAVIS 2016, not used",
            frames,
            "later editions of DAVIS have more sequences; 2016 has 50",
            fatal=False,
        )
        report.add_items([one.video for one in shots if not one.frames], "sequences without frames", frames, _GET)
        gaps = [
            f"{one.video} (frame {min(one.frames.keys() ^ one.masks.keys())})"
            for one in shots
            if one.frames and one.frames.keys() - one.masks.keys()
        ]
        report.add_items(gaps, "sequences without the true mask of a frame", truth, _GET)
        holes = [one.video for one in shots if list(one.frames) != list(range(len(one.frames)))]
        report.add_items(holes, "sequences with a missing frame", frames, _GET)
        whole = [one for one in shots if one.frames and one.video not in holes]
        make_videos(
            whole, prepared / "videos", prepared / "masks", rate=RATE, same_size=True, report=report, progress=progress
        )
        finish(prepared, "davis", whole, {"train.tsv": TRAIN, "val.tsv": VAL}, report)
        return report
