"""Stage predict: segment any images and videos, with given or predicted tags (section 3.4)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wsvs.config.stages import PredictSettings
from wsvs.core import runs
from wsvs.core.classes import Classes
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import files_below, write_text
from wsvs.core.reviews import Reviews
from wsvs.core.tables import Tags, read_ids
from wsvs.data.images import EXTENSIONS, find_image, mask_name, unread
from wsvs.data.inputs import VIDEOS, by_id, find_files, without_clash
from wsvs.data.tag_sources import read_image_tags
from wsvs.engine.choose import network_stage
from wsvs.engine.reuse import take_over
from wsvs.engine.run import Run
from wsvs.engine.shards import share
from wsvs.engine.stage import Stage, reads
from wsvs.records.ledger import Ledger
from wsvs.records.masks import frame_name
from wsvs.records.predicted import Bad, Predicted, PredictedFile, Wanted
from wsvs.records.row import write_rows
from wsvs.records.sources import state_of

log = logging.getLogger("wsvs")


@dataclass(frozen=True)
class Settings:
    predict: PredictSettings
    input: str | None
    labels: str | None
    precision: str = reads("trainer.precision")
    use: bool = reads("review.use", result=False)


def needs(settings: Settings, home: runs.Home) -> tuple[str, ...]:
    """The stage whose checkpoint is used."""
    return network_stage(settings.predict, home)


def run(run: Run[Settings]) -> None:
    from wsvs.engine.predict import predict_all
    from wsvs.lit.media import predictions
    from wsvs.lit.predictor import PredictorModule
    from wsvs.nets.model import load_net

    settings = run.settings.predict
    checkpoint = settings.checkpoint or run.checkpoint(next(iter(run.inputs)))
    net = load_net(checkpoint, need_decoder=settings.method != "attention")
    classes = Classes(net.classes)
    items = list_images(run.settings, classes)
    if not settings.tags:
        items = retagged(items, run.reviews, classes)
    mine = share(run, settings.shard, lambda: {item.id: getattr(item, "size", 1) for item in items})
    if mine is not None:
        items = [item for item in items if item.id in mine]
    wanted = [item for item in items if isinstance(item, Wanted)]
    network = state_of(checkpoint)
    take_over(
        run,
        settings.reuse,
        wanted,
        lambda item: state_of(item.file, item.classes, network),
        partial(results, settings=settings),
    )
    module = PredictorModule(
        net,
        method=settings.method,
        class_threshold=settings.class_threshold,
        background=settings.background,
        flip=settings.flip,
        zooms=list(settings.zooms),
        refine=settings.refine,
    )
    written, loop = predict_all(
        run,
        items,
        module,
        run.dir,
        workers=settings.workers,
        scores=settings.scores,
        names=classes.with_background if settings.overlay else None,
    )
    write_rows(run.dir / runs.ITEMS, (_listed(*one, classes.with_background) for one in written))
    write_text(run.dir / "labels.txt", "".join(f"{name}\n" for name in classes.with_background))
    asked = sum(isinstance(item, Wanted) and item.video for item in items)
    videos = [record.frames for _, record in written if record.frames is not None]
    counts = {"images": len(items) - asked, "masks": len(written) - len(videos)}
    if asked:
        counts |= {"videos": len(videos), "masks of videos": sum(videos)}
    if run.tracker:
        shown = predictions(written, run.dir, run.tracker.media)
        run.tracker.show("predict/masks", shown, classes.with_background)
    given = run.settings.labels or settings.tags
    run.finish(
        counts=counts,
        results=loop,
        wrote=run.dir,
        goes_on=bool(written),
        supervision=f"image tags; tags of the predicted images {'given' if given else 'predicted'}",
    )


def results(item: Wanted, earlier: Path, settings: PredictSettings) -> list[str]:
    """The files of an image or a video in an earlier run, those last that mark it as finished.

    None if it failed, or if some of them are gone.
    """
    found = Ledger(earlier).get(item.id, PredictedFile)
    if found is None:
        return []
    files = [f"{frame_name(item.id, number)}.png" for number in range(found.frames or 0)]
    if settings.scores and not item.video:
        files.append(f"scores/{item.id}.npz")
    if settings.overlay and found.unshown is None:
        files.append(f"overlay/{item.id}.{'mp4' if item.video else 'jpg'}")
    files += [f"done/{item.id}.json", *([] if item.video else [f"{item.id}.png"])]
    return files if all((earlier / file).is_file() for file in files) else []


def retagged(items: list[Wanted | Bad], reviews: Reviews, classes: Classes) -> list[Wanted | Bad]:
    """Items with the tags corrected in a review, which replace those of a table and predicted ones."""
    answers = reviews.of({item.id: Path(item.file) for item in items if isinstance(item, Wanted)})
    corrected = {name: answer.tags for name, answer in answers.items() if answer.tags is not None}
    where = "tags of {!r}, corrected in stage review"
    numbers = {name: [classes.index(tag, where=where.format(name)) for tag in tags] for name, tags in corrected.items()}
    return [
        replace(item, classes=numbers[item.id]) if isinstance(item, Wanted) and item.id in numbers else item
        for item in items
    ]


def _listed(item: Wanted, record: PredictedFile, names: Sequence[str]) -> Predicted:
    """An item for later stages: the file is the path below the input."""
    by_class = {names[int(label)]: value for label, value in (record.confidence or {}).items()}
    file = Path(item.id).with_name(Path(item.file).name).as_posix()
    return Predicted(item.id, file, None if record.confidence is None else by_class, record.frames)


def _frames(video: str) -> int:
    """Approximate number of frames; 1 for a video that cannot be read, which is skipped later."""
    from wsvs.video.reader import glance

    try:
        return glance(video).frames
    except BadItem:
        return 1


def list_images(settings: Settings, classes: Classes) -> list[Wanted | Bad]:
    """The images and videos to predict; bad ones with the reason.

    Raises:
        UserError: Nothing to predict, a tag that is not a class, or tags from two places.
    """
    predict, given, labels = settings.predict, settings.input, settings.labels
    if not given:
        raise UserError(
            "nothing to predict",
            where="input",
            remedy="give a folder of images, an image, a video or a pattern: input=DIR",
        )
    if predict.tags and labels:
        raise UserError("tags are given twice", where="predict.tags and labels", remedy="give only one of the two")
    everywhere = None
    if predict.tags:
        everywhere = [classes.index(tag, where="predict.tags") for tag in predict.tags]
    root, files = find_files(given)
    tags = None
    if labels:
        table = read_image_tags(root, labels, classes.names)
        log.info("%s", table.summary(labels))
        tags = table.tags
    rows = {root / name: name for name in tags or ()}  # videos may be named with their extension
    rows |= {found: name for name in tags or () if (found := find_image(root, name)) is not None}
    if files is None:
        files = _in_folder(root, read_ids(predict.ids) if predict.ids else None, tags)
    elif predict.ids:
        remedy = "give a folder, input=DIR, or leave out predict.ids"
        raise UserError("predict.ids needs a folder", where=f"input={given}", remedy=remedy)
    items: list[Wanted | Bad] = []
    for name, found in files.items():
        if found is None:
            items.append(Bad(name, f"no image file for id {name!r} in {root}"))
            continue
        numbers = everywhere
        if tags is not None:
            row = rows.get(found, name)
            if row not in tags:
                items.append(Bad(name, f"no tags for image {name!r} in {labels}"))
                continue
            numbers = [classes.index(tag, where=f"tags of {row!r} in {labels}") for tag in tags[row]]
        video = found.suffix.lower() in VIDEOS
        items.append(Wanted(name, str(found), numbers, video, _frames(str(found)) if video else 1))
    return items


def _in_folder(root: Path, names: list[str] | None, tags: Tags | None) -> dict[str, Path | None]:
    """{id: image} of a folder: for the given ids, else for all images and all rows of the table.

    Ids may have an extension; the result has none. An image with the same name as that of a row is ignored.
    """
    listed = without_clash(
        (mask_name(root, name, found), found) if (found := find_image(root, name)) else (name, None)
        for name in (tags or () if names is None else names)
    )
    if names is not None:
        return listed
    every = list(files_below(root))
    below = [path for path in every if path.suffix.lower() in EXTENSIONS]
    if passed := unread(every):
        log.warning("%s: convert them to JPEG or PNG to predict them", passed)
    files: dict[str, Path | None] = {}
    if tags is None:
        files.update(by_id(root, below))
    else:
        files.update((str(path.relative_to(root).with_suffix("")), path) for path in below)
    files.update(listed)
    if not files:
        raise UserError(
            "no image in this folder",
            where=root,
            remedy=f"images end in {', '.join(EXTENSIONS)}; for videos give input='{root}/*.mp4'",
        )
    return dict(sorted(files.items()))


STAGE = Stage(
    "predict",
    Settings,
    run,
    needs=needs,
    paths=("input", "labels", "predict.checkpoint", "predict.ids"),
    makes=("masks",),
    reviews=("tags",),
)
