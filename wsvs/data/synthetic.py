"""A small synthetic data set with everything the pipeline needs, and ground truth to evaluate it.

Its creatures share shapes and colours; only the head shows the class. Attention trained on tags therefore finds heads,
and whole bodies have to be recovered from motion and colour in the videos, which is the idea of the paper.

    images/<id>.jpg  labels.tsv  train.txt  val.txt          tagged images: id and comma-separated tags
    masks/<id>.png                                           their true masks, for evaluation only
    videos/<id>.mp4  videos.tsv                              H.264; id and the one class it was found under
    video_masks/<id>/%05d.png  video_frames.tsv              true masks (1: the video's class), and for each frame
                                                             whether it shows the class, and shares of the frame
    world.json                                               settings; marks a complete data set
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

from wsvs.config.world import WorldSettings
from wsvs.core.errors import UserError
from wsvs.core.files import explain_os_error, read_json, write_json, write_text
from wsvs.core.masks import write_mask
from wsvs.data.scenes import Kind, Video, make_video, paint_image
from wsvs.records.masks import frame_name

__all__ = ["WorldSettings", "make_world"]

WORLD = "world.json"
FORMAT = 1  # incremented whenever the same settings give different files
_OURS = frozenset(
    {
        "images",
        "labels.tsv",
        "train.txt",
        "val.txt",
        "masks",
        "videos",
        "videos.tsv",
        "video_masks",
        "video_frames.tsv",
        WORLD,
    }
)


def make_world(root: str | Path, settings: WorldSettings | None = None, **changes: Any) -> Path:
    """Generate the data set, unless it exists with the same settings; one with other settings is replaced.

    Several processes may call this at once. The same settings give the same files, byte for byte.

    Args:
        root: Its folder; must not exist, be empty, or contain a synthetic data set.
        settings: Sizes and difficulty; by default those of `WorldSettings`.
        changes: Single settings to change.

    Returns:
        The folder.

    Raises:
        ValueError: An impossible setting.
        UserError: The folder holds other files, or cannot be written.
    """
    root = Path(root).absolute()
    settings = (settings or WorldSettings()).replaced(**changes)
    if _is_ready(root, settings):
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}-"))
        try:
            _build(new, settings)
            _install(new, root, settings)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise explain_os_error(error, root) from error
    return root


def _is_ready(root: Path, settings: WorldSettings) -> bool:
    """Whether the data set exists. Raises `UserError` if something else is in its place."""
    if not root.exists():
        return False
    remedy = "choose another folder for the synthetic data (data.folder=DIR), or empty this one"
    if not root.is_dir():
        raise UserError("a file is in the place of the synthetic data", where=root, remedy=remedy)
    found = {path.name for path in root.iterdir()}
    if not found:
        return False
    if WORLD not in found or found - _OURS:
        other = sorted(found - _OURS) or sorted(found)
        raise UserError(f"this folder contains other files ({', '.join(other[:5])})", where=root, remedy=remedy)
    world = read_json(root / WORLD)
    return world.get("format") == FORMAT and world.get("settings") == _plain(settings)


def _plain(settings: WorldSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def _install(new: Path, root: Path, settings: WorldSettings) -> None:
    """Move a finished data set into place in one step."""
    if _is_ready(root, settings):  # another process was faster
        return
    mode = os.umask(0)
    os.umask(mode)
    new.chmod(0o777 & ~mode)
    if root.exists() and any(root.iterdir()):
        old = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}-"))
        os.replace(root, old)
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.replace(new, root)
    except OSError:
        if not _is_ready(root, settings):
            raise


def _build(root: Path, settings: WorldSettings) -> None:
    tags = dict(_make_images(root, settings))
    ids = list(tags)
    order = np.random.default_rng([settings.seed, 0]).permutation(len(ids))
    held_out = set(order[: round(settings.val_share * len(ids))].tolist())
    write_text(root / "labels.tsv", _table(("image", "tags"), [(name, ",".join(t)) for name, t in tags.items()]))
    for file, wanted in (("train.txt", False), ("val.txt", True)):
        write_text(root / file, "".join(f"{name}\n" for k, name in enumerate(ids) if (k in held_out) is wanted))
    videos: dict[str, dict[str, object]] = {}
    frames: list[tuple[object, ...]] = []
    for name, label, video in _make_videos(settings):
        _write_video(root / "videos" / f"{name}.mp4", video)
        for number, (mask, head) in enumerate(zip(video.masks, video.heads, strict=True)):
            write_mask(root / "video_masks" / f"{frame_name(name, number)}.png", mask.astype(np.uint8))
            frames.append((name, number, int(mask.any()), f"{mask.mean():.4f}", f"{head.mean():.4f}"))
        videos[name] = {"class": label, "kind": video.kind, "frames": len(video.frames), "fps": video.rate}
    write_text(root / "videos.tsv", _table(("video", "tags"), [(name, v["class"]) for name, v in videos.items()]))
    write_text(root / "video_frames.tsv", _table(("video", "frame", "relevant", "object", "head"), frames))
    write_json(
        root / WORLD,
        {"format": FORMAT, "settings": _plain(settings), "images": len(tags), "frames": len(frames), "videos": videos},
    )


def _table(heading: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    return "".join("\t".join(str(cell) for cell in row) + "\n" for row in [heading, *rows])


def _make_images(root: Path, settings: WorldSettings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Write images and masks; yield (id, tags)."""
    (root / "images").mkdir()
    for number, names in enumerate(_casts(settings)):
        drawn = paint_image(np.random.default_rng([settings.seed, 1, number]), names, settings)
        image = f"image_{number:04d}"
        Image.fromarray(drawn.image).save(root / "images" / f"{image}.jpg", quality=92)
        write_mask(root / "masks" / f"{image}.png", drawn.labels)
        yield image, drawn.tags


def _casts(settings: WorldSettings) -> list[tuple[str, ...]]:
    """The classes of each image, every class about equally often, in random order."""
    classes = settings.classes
    empty = round(settings.empty_images * settings.images)
    two = round(settings.two_objects * settings.images) if len(classes) > 1 else 0
    casts: list[tuple[str, ...]] = [()] * empty
    for k in range(settings.images - empty):
        first = k % len(classes)
        second = (first + 1 + k // len(classes) % max(len(classes) - 1, 1)) % len(classes)
        casts.append((classes[first], classes[second]) if k < two else (classes[first],))
    order = np.random.default_rng([settings.seed, 2]).permutation(len(casts))
    return [casts[k] for k in order]


def _make_videos(settings: WorldSettings) -> Iterator[tuple[str, str, Video]]:
    """(id, class, frames and masks) of every video."""
    count = settings.clips_per_class
    wrong, partial = round(settings.irrelevant_videos * count), round(settings.partial_videos * count)
    for c, label in enumerate(settings.classes):
        kinds: list[Kind] = []
        kinds += [("other", "nothing")[(k + c) % 2] for k in range(wrong)]
        kinds += [("leaves", "cut")[(k + c) % 2] for k in range(partial)]
        kinds += ["whole"] * (count - len(kinds))
        order = np.random.default_rng([settings.seed, 3, c]).permutation(count)
        for number, k in enumerate(order):
            rng = np.random.default_rng([settings.seed, 4, c, number])
            yield f"{label}_{number:02d}", label, make_video(rng, label, kinds[k], settings)


def _write_video(path: Path, video: Video) -> None:
    """Encode so that the same frames give the same bytes: for x264 a single thread is not sufficient.

    Its macroblock tree was observed to depend on memory addresses, and some of its code depends on the processor.
    """
    path.parent.mkdir(exist_ok=True)
    height, width = video.frames[0].shape[:2]
    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    options = {"crf": "20", "g": "12", "threads": "1", "x264-params": "mbtree=0:cpu-independent=1"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=video.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in video.frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p", interpolation=exact, threads=1)))
        out.mux(stream.encode(None))
