"""PASCAL VOC 2012 as the set I of tagged images: `data=voc12`. `stage=data` prepares it once.

<folder>/JPEGImages  Annotations  ImageSets/Segmentation  SegmentationClass       as downloaded
<prepared>/labels.tsv  train_aug.txt  train.txt  val.txt  prepared.json           generated
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from wsvs.core.classes import IGNORE
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_json, write_text
from wsvs.core.masks import read_mask
from wsvs.core.tables import Tags, read_list
from wsvs.data.image_files import inspect_image
from wsvs.data.report import Progress, Report, quiet
from wsvs.data.tagged import TaggedImages

PREPARED = "prepared.json"
VOC_URL = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
TEST_URL = "http://host.robots.ox.ac.uk:8080 (VOC2012test.tar, after registration)"
SBD_URL = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
_AUGMENTED = ("train_aug.txt", "trainaug.txt")
_GET = f"get VOC 2012 from {VOC_URL}, unpack it, and name its VOC2012 with data.folder=DIR"
_AGAIN = f"the download is damaged or incomplete: unpack it again, or get it from {VOC_URL}"


@dataclass(frozen=True)
class Expected:
    """Expected content of the lists.

    Attributes:
        lists: {list: (number of ids, SHA-256 of the sorted ids, joined by line feeds)}.
        tags: {class: number of images of train_aug with it}, in the order of the labels.
    """

    lists: Mapping[str, tuple[int, str]]
    tags: Mapping[str, int]


VOC2012 = Expected(
    lists={
        "train": (1464, "129f1fe991729b1862115b77738c938c149c1f167baa02b4b3186aea9f0d6a84"),
        "val": (1449, "6f8edc37993764f6e212237d39546fb595246244147e8a050813c520aac0ade1"),
        "train_aug": (10582, "855dff350b7f447bf43cb98ea626a32e0d0b3b7c5786e03b2712a21355b635bf"),
        "test": (1456, "7d323bb3448fa174b9194953e01dfd168c9890adb30dd2491a66536edbeca0aa"),
    },
    tags={
        "aeroplane": 590,
        "bicycle": 504,
        "bird": 705,
        "boat": 468,
        "bottle": 714,
        "bus": 393,
        "car": 1150,
        "cat": 1005,
        "chair": 1228,
        "cow": 267,
        "diningtable": 613,
        "dog": 1188,
        "horse": 445,
        "motorbike": 492,
        "person": 4155,
        "pottedplant": 522,
        "sheep": 300,
        "sofa": 649,
        "train": 503,
        "tvmonitor": 567,
    },
)


@dataclass(frozen=True)
class VocImages(TaggedImages):
    """Tagged images of VOC 2012 after `stage=data` has prepared them.

    Args:
        folder: VOC2012 as downloaded.
        prepared: Where lists and tags are written.
        augmented: List of the 10,582 ids of train_aug, or the folder of SBD's lists train.txt and val.txt; None
            searches train_aug.txt in the folder of VOC's lists.
    """

    folder: str = ""
    prepared: str = ""
    augmented: str | None = None

    def prepare(self) -> None:
        """Raises `UserError` if the data is not prepared yet."""
        if not Path(self.prepared, PREPARED).is_file():
            raise UserError(
                "VOC 2012 is not prepared",
                where=self.prepared,
                remedy=f"wsvs stage=data data=voc12 data.folder={self.folder}",
            )
        super().prepare()

    def make(self, progress: Progress = quiet) -> Report:
        """Check the download and write the tables; prepared.json is written last, and only without problems."""
        return prepare_voc(Path(self.folder), Path(self.prepared), augmented=self.augmented, progress=progress)


def prepare_voc(
    folder: Path,
    prepared: Path,
    *,
    augmented: str | None = None,
    expected: Expected = VOC2012,
    progress: Progress = quiet,
) -> Report:
    """See `VocImages.make`. Raises `UserError` only if the results cannot be written."""
    report = Report()
    (prepared / PREPARED).unlink(missing_ok=True)  # invalid while the check runs again
    for name in ("JPEGImages", "Annotations", "ImageSets/Segmentation", "SegmentationClass"):
        if not (folder / name).is_dir():
            report.add("a folder is missing", folder / name, _GET)
    if report.problems:
        return report
    lists = _lists(folder, augmented, expected, report)
    needed = sorted({name for split in ("train", "val", "train_aug") for name in lists.get(split, ())})
    tags = _check_images(folder, needed, expected.tags, report, progress)
    _check_masks(folder, [*lists.get("train", ()), *lists.get("val", ())], len(expected.tags), report, progress)
    _check_tags(tags, lists.get("train_aug", ()), expected.tags, report)
    _check_test(folder, lists.get("test"), report)
    report.counts |= {f"{name} ids": len(ids) for name, ids in lists.items()}
    if not report.fatal:
        _write(prepared, lists, tags, report)
    return report


def digest(ids: Iterable[str]) -> str:
    """SHA-256 of a set of ids, independent of their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def _lists(folder: Path, augmented: str | None, expected: Expected, report: Report) -> dict[str, list[str]]:
    """The readable lists, each checked against the expected content; `test` only if it exists."""
    home = folder / "ImageSets" / "Segmentation"
    lists: dict[str, list[str]] = {}
    for name in ("train", "val", "test"):
        path = home / f"{name}.txt"
        if name != "test" or path.is_file():
            ids = _read(path, report)
            if ids is not None:
                lists[name] = ids
                _check_list(name, ids, path, expected, report, _AGAIN)
    remedy = (
        f"give data.augmented=FILE, a list of its {expected.lists['train_aug'][0]} ids, or "
        f"data.augmented=benchmark_RELEASE/dataset, the folder of SBD's own lists ({SBD_URL})"
    )
    found = _augmented(home, augmented, lists, report, remedy)
    if found is not None:
        ids, path = found
        lists["train_aug"] = ids
        _check_list("train_aug", ids, path, expected, report, remedy)
        shared = sorted(set(ids) & set(lists.get("val", ())))
        report.add_items(shared, "ids of train_aug that are in val", path, "remove the images of val from it")
        lost = sorted(set(lists.get("train", ())) - set(ids))
        report.add_items(lost, "ids of train that are not in train_aug", path, "add the images of train to it")
    return lists


def _augmented(
    home: Path, given: str | None, lists: Mapping[str, list[str]], report: Report, remedy: str
) -> tuple[list[str], Path] | None:
    """Ids of train_aug and their source: a list, or the ids of SBD and VOC's train without VOC's val."""
    path = Path(given) if given else next((home / name for name in _AUGMENTED if (home / name).is_file()), None)
    if path is None:
        report.add("the list train_aug is missing: it is not part of VOC", home / _AUGMENTED[0], remedy)
        return None
    if not path.is_dir():
        ids = _read(path, report)
        return None if ids is None else (ids, path)
    parts = [_read(path / name, report) for name in ("train.txt", "val.txt")]
    if None in parts or "train" not in lists or "val" not in lists:
        return None
    union = {name for part in parts for name in part or ()} | set(lists["train"])
    return sorted(union - set(lists["val"])), path


def _read(path: Path, report: Report) -> list[str] | None:
    """Ids of a list; a line may also name files, /JPEGImages/<id>.jpg first."""
    try:
        return [Path(line.split()[0]).stem for line in read_list(path)]
    except UserError as error:
        report.add(error.problem, path, error.remedy or "give a text file with one id per line")
        return None


def _check_list(name: str, ids: Sequence[str], path: Path, expected: Expected, report: Report, remedy: str) -> None:
    number, checksum = expected.lists[name]
    if len(ids) != number:
        report.add(f"the list {name} has {len(ids)} ids, expected {number}", path, remedy)
    elif digest(ids) != checksum:
        report.add(f"the list {name} has the right length but other ids: its checksum is wrong", path, remedy)


def _check_images(
    folder: Path, ids: Sequence[str], classes: Mapping[str, int], report: Report, progress: Progress
) -> Tags:
    """Check that every id has an annotation and an image; return the tags."""
    tags: Tags = {}
    stray, broken, odd = [], [], []
    for name in progress(ids, "images and annotations"):
        try:
            tags[name], size = read_annotation(folder / "Annotations" / f"{name}.xml")
        except FileNotFoundError:
            stray.append(name)
            continue
        except (ElementTree.ParseError, ValueError) as error:
            broken.append(f"{name}.xml ({error})")
            continue
        try:
            if inspect_image(folder / "JPEGImages" / f"{name}.jpg") != size:
                odd.append(name)
        except BadItem as item:
            broken.append(f"{name}.jpg ({item.problem})")
    report.add_items(stray, "ids without an annotation, not of VOC 2012", folder / "Annotations", _AGAIN)
    report.add_items(broken, "files that cannot be read", folder, _AGAIN)
    report.add_items(
        odd,
        "images of another size than in their annotation",
        folder / "JPEGImages",
        "resized images work, but figures will differ from those of the paper",
        fatal=False,
    )
    foreign = sorted({tag for found in tags.values() for tag in found} - set(classes))
    report.add_items(foreign, "names in annotations that are not VOC classes", folder / "Annotations", _AGAIN)
    report.counts["images"] = len(ids) - len(stray) - len(broken)
    return tags


def read_annotation(path: Path) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Tags and (width, height) of a VOC annotation: names of all objects, including difficult ones, without parts.

    Raises:
        FileNotFoundError: No such file.
        ElementTree.ParseError: Not XML.
        ValueError: No size, or an object without a name.
    """
    root = ElementTree.parse(path).getroot()
    names = [(one.findtext("name") or "").strip() for one in root.findall("object")]
    if "" in names:
        raise ValueError("an object has no name")
    width, height = (int(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    if not width or not height:
        raise ValueError("it has no size")
    return tuple(dict.fromkeys(names)), (width, height)


def _check_masks(folder: Path, ids: Sequence[str], classes: int, report: Report, progress: Progress) -> None:
    """Check that every id has a true mask of its image's size with VOC labels only."""
    missing: list[str] = []
    bad: list[str] = []
    other: list[str] = []
    for name in progress(ids, "true masks"):
        path = folder / "SegmentationClass" / f"{name}.png"
        try:
            labels = read_mask(path)
        except BadItem:
            (bad if path.is_file() else missing).append(name)
            continue
        if labels[labels != IGNORE].max(initial=0) > classes:
            bad.append(name)
        try:
            width, height = inspect_image(folder / "JPEGImages" / f"{name}.jpg")
        except BadItem:
            continue  # reported with the images
        if labels.shape != (height, width):
            other.append(name)
    where = folder / "SegmentationClass"
    report.add_items(missing, "missing true masks", where, _AGAIN)
    report.add_items(bad, "true masks that are not indexed images of VOC's labels", where, _AGAIN)
    report.add_items(other, "true masks of another size than their image", where, _AGAIN)
    report.counts["true masks"] = len(ids) - len(missing)


def _check_tags(tags: Tags, ids: Sequence[str], expected: Mapping[str, int], report: Report) -> None:
    """Check the number of images of each class in train_aug."""
    found = Counter(tag for name in ids for tag in tags.get(name, ()))
    report.by_class = {name: {"images of train_aug": found[name]} for name in expected}
    wrong = [f"{name} {found[name]} instead of {count}" for name, count in expected.items() if found[name] != count]
    if not report.fatal:  # else the causes are already reported
        report.add_items(wrong, "classes with a wrong number of images in train_aug", "Annotations", _AGAIN)


def _check_test(folder: Path, ids: Sequence[str] | None, report: Report) -> None:
    """Note missing test images, which only the row for the test server needs."""
    lost = [name for name in ids or () if not (folder / "JPEGImages" / f"{name}.jpg").is_file()]
    if ids is None or lost:
        report.notes.append(
            f"missing test images ({len(lost) if ids else 'no test.txt'}); only experiment=table3 needs them: "
            f"get them from {TEST_URL}"
        )


def _write(prepared: Path, lists: Mapping[str, Sequence[str]], tags: Tags, report: Report) -> None:
    rows = "".join(f"{name}\t{','.join(found)}\n" for name, found in tags.items())
    write_text(prepared / "labels.tsv", f"image\ttags\n{rows}")
    for name, ids in lists.items():
        write_text(prepared / f"{name}.txt", "".join(f"{one}\n" for one in ids))
    write_json(prepared / PREPARED, {"data": "voc12", "counts": report.counts})
