"""Pack masks for the PASCAL VOC evaluation server.

    results/VOC2012/Segmentation/comp6_test_cls/<id>.png      in one .tar.gz

comp6 is segmentation with additional training data; comp5 with VOC data only.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import atomic_path
from wsvs.core.masks import encode_mask, read_mask
from wsvs.data.image_files import inspect_image
from wsvs.data.images import find_image
from wsvs.data.report import Progress, quiet

COMPETITIONS = ("comp5", "comp6")
HIGHEST = 20  # labels 0 to 20; the server accepts no void label


def pack_results(
    predictions: Path,
    ids: Sequence[str],
    target: Path,
    *,
    competition: str = "comp6",
    split: str = "test",
    images: Path | None = None,
    progress: Progress = quiet,
) -> None:
    """Write the archive; the same masks give the same bytes.

    Args:
        predictions: Folder of masks <id>.png.
        ids: Every image of the split: the server only scores complete splits.
        target: The archive, *.tar.gz.
        competition: comp5 or comp6.
        split: test, or val for a trial run.
        images: Folder of the images; masks must have their size.
        progress: Shows the progress.

    Raises:
        ValueError: Another competition.
        UserError: A mask is missing, unreadable, has another size, or a label that the server does not accept.
    """
    if competition not in COMPETITIONS:
        raise ValueError(f"submit.competition must be one of {', '.join(COMPETITIONS)}, got {competition!r}")
    bad: list[BadItem] = []
    with atomic_path(target) as temporary:
        # Without file name and time, so that the same masks give the same bytes.
        with (
            temporary.open("wb") as raw,
            gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for name in progress(sorted(ids), "masks"):
                try:
                    data = _mask(predictions / f"{name}.png", images, name)
                except BadItem as item:
                    bad.append(item)
                    continue
                member = tarfile.TarInfo(f"results/VOC2012/Segmentation/{competition}_{split}_cls/{name}.png")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        if bad:
            raise UserError(
                f"masks that the server does not accept: {len(bad)} of {len(ids)}, first: {bad[0].problem}",
                where=bad[0].where,
                remedy="predict all images of the list first: stage=predict input=JPEGImages predict.ids=test.txt",
            )


def _mask(path: Path, images: Path | None, name: str) -> bytes:
    """A validated mask as PNG with VOC's palette."""
    labels = read_mask(path)
    if labels.max(initial=0) > HIGHEST:
        raise BadItem(f"it has label {labels.max()}, the server accepts 0 to {HIGHEST}", where=path)
    if images is not None:
        file = find_image(images, name)
        if file is None:
            raise BadItem(f"id {name!r} has no image", where=images)
        width, height = inspect_image(file)
        if labels.shape != (height, width):
            size = f"{labels.shape[1]}x{labels.shape[0]}"
            raise BadItem(f"it is {size}, its image {width}x{height} (width x height)", where=path)
    return encode_mask(labels)
