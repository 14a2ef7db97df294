"""Stage adapt: label the tagged images with the video-trained model and fine-tune on them (section 5.2.1)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsvs.config.base import Section
from wsvs.config.groups import ModelSettings, TrainerSettings
from wsvs.config.stages import AdaptSettings
from wsvs.core.classes import IGNORE
from wsvs.core.errors import BadItem, UserError
from wsvs.core.files import write_json
from wsvs.core.masks import read_mask, write_mask
from wsvs.core.processes import DDP_TIMEOUT, rank
from wsvs.core.reviews import ACCEPT, REJECT
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, reads
from wsvs.records.predicted import Wanted

if TYPE_CHECKING:
    from wsvs.data.tagged import TaggedImages


@dataclass(frozen=True)
class Settings:
    data: Section
    model: ModelSettings
    adapt: AdaptSettings
    trainer: TrainerSettings
    callbacks: Mapping[str, object]
    use: bool = reads("review.use", result=False)


def run(run: Run[Settings]) -> None:
    from wsvs.data.corrected import repeats
    from wsvs.data.frames import PseudoLabelDataset
    from wsvs.data.training import TrainingData
    from wsvs.data.transforms import ImageAugmentation
    from wsvs.engine.data import answers_of, build_data
    from wsvs.engine.optimisation import decoder_config, optimisation
    from wsvs.engine.predict import predict_all
    from wsvs.engine.trainer import build_trainer, fit, set_seed
    from wsvs.lit.decoder import DecoderModule
    from wsvs.lit.predictor import PredictorModule
    from wsvs.nets.model import load_net

    settings, model = run.settings.adapt, run.settings.model
    set_seed(run.seed)
    data = build_data(run)
    checkpoint = str(run.checkpoint("decoder"))
    net = load_net(checkpoint, need_decoder=True)
    if tuple(net.classes) != data.class_list.names:
        raise UserError(
            "the decoder's classes are not those of data.classes",
            where=checkpoint,
            remedy="use the data set that the encoder was trained on",
        )
    numbers = {name: [data.class_list.index(tag) for tag in tags] for name, tags in data.tags.items()}
    folder = run.dir / "masks"
    corrected = _corrected(run, data)
    numbers |= corrected
    answers = answers_of(run, data)
    apart = {name for name, answer in answers.items() if answer.verdict == REJECT} | set(corrected)
    tagged = {
        split: [name for name in ids if numbers[name] and name not in apart] for split, ids in data.splits.items()
    }
    strong = {split: [name for name in ids if name in corrected] for split, ids in data.splits.items()}
    tagged["train"] = sample(tagged["train"], settings.max_images, run.seed)
    tagged["val"] = tagged["val"][: settings.val_items]
    items = [Wanted(name, str(data.path(name)), numbers[name]) for ids in tagged.values() for name in ids]
    labeller = PredictorModule(
        net, method=settings.method, background=settings.background, flip=settings.flip, refine=settings.refine
    )
    labelled, labelling = predict_all(run, items, labeller, folder, workers=settings.workers)
    usable = _usable(run, [item.id for item, _ in labelled])
    ids = {split: [name for name in names if name in usable] for split, names in tagged.items()}
    used = len(ids["train"]) + len(strong["train"])
    ids["train"] += strong["train"] * repeats(len(ids["train"]), len(strong["train"]), settings.corrected_share)
    ids["val"] = (strong["val"] + ids["val"])[: settings.val_items]
    if not ids["train"]:
        raise UserError(
            "every pseudo-label is empty",
            where=folder,
            remedy="lower adapt.background, or train the decoder longer and adapt again with resume=false",
        )

    weights = {name: settings.accepted_weight for name, answer in answers.items() if answer.verdict == ACCEPT}

    def dataset(names: list[str], augmentation: ImageAugmentation) -> PseudoLabelDataset:
        return PseudoLabelDataset(
            names,
            path=data.path,
            mask=lambda name: (run.dir / "corrected" if name in corrected else folder) / f"{name}.png",
            numbers=numbers.__getitem__,
            augmentation=augmentation,
            weights=weights,
        )

    size = settings.size or model.image_size
    loaders = TrainingData(
        dataset(ids["train"], ImageAugmentation(size, settings.scale, settings.jitter)),
        dataset((ids["val"] or ids["train"])[: settings.val_items], ImageAugmentation(size, (1, 1), 0)),
        batch_size=settings.batch_size,
        workers=settings.workers,
        seed=run.seed,
    )
    config = decoder_config(model, net.config)
    module = DecoderModule(config.asdict(), **optimisation(model, settings), start=checkpoint)
    by = [f"masks corrected by a person: {len(corrected)}"] if corrected else []
    module.person = run.by_a_person(*by)
    trainer = build_trainer(
        run, training=settings, steps=settings.steps, val_every=settings.val_every, monitor="val/miou"
    )
    results = fit(run, trainer, module, loaders)
    run.finish(
        counts={
            "pseudo-labels": len(labelled),
            **({"corrected masks": len(corrected)} if corrected else {}),
            "used for training": used,
            "to validate": len(ids["val"]),
        },
        results={**results, "labels/data_wait": labelling["data_wait"]},
        wrote=run.dir / "checkpoints" / "best.ckpt",
        supervision="image tags (pseudo-labels made with them)",
        person=by,
    )


def sample(names: list[str], most: int | None, seed: int) -> list[str]:
    """At most `most` names, drawn at random; None keeps all. Raises `UserError` for a number below 1."""
    if most is None or most >= len(names):
        return names
    if most < 1:
        raise UserError(f"adapt.max_images must be at least 1, got {most}", where="adapt.max_images")
    return sorted(random.Random(seed).sample(names, most))


def _corrected(run: Run[Settings], data: TaggedImages) -> dict[str, list[int]]:
    """{image with a corrected mask: its classes}; the masks are stored in corrected/ of the run.

    An image with background only has the classes of its tags, as a negative example of them.
    """
    from wsvs.data.corrected import read_corrected

    settings, record = run.settings.adapt, run.dir / "corrected.json"
    if settings.corrected is None:
        return {}
    if rank() == 0 and not record.is_file():
        shown: dict[str, list[int]] = {}
        bad: dict[str, str] = {}
        masks = read_corrected(data, Path(settings.corrected), settings.corrected_format, bad.__setitem__)
        for name, mask in masks:
            classes = [int(label) - 1 for label in np.unique(mask) if label not in (0, IGNORE)]
            classes = classes or [data.class_list.index(tag) for tag in data.tags[name]]
            if classes:
                write_mask(run.dir / "corrected" / f"{name}.png", mask)
                shown[name] = classes
            else:
                bad[name] = "an empty corrected mask of an image without tags cannot be used for training"
        write_json(record, {"corrected": shown, "bad": bad})
    found = run.wait_for(record, seconds=DDP_TIMEOUT.total_seconds())
    for name, reason in found["bad"].items():
        run.skip(name, reason)
    kept: dict[str, list[int]] = found["corrected"]
    return kept


def _usable(run: Run[Settings], names: list[str]) -> set[str]:
    """Ids whose pseudo-label is not empty; determined once and stored in usable.json."""
    record = run.dir / "usable.json"
    if rank() == 0 and not record.is_file():
        shown, bad = [], {}
        for name in names:
            try:
                mask = read_mask(run.dir / "masks" / f"{name}.png")
            except BadItem as error:
                bad[name] = error.message
                continue
            if np.any(mask):
                shown.append(name)
        write_json(record, {"usable": shown, "bad": bad})
    found = run.wait_for(record, seconds=DDP_TIMEOUT.total_seconds())
    for name, reason in found["bad"].items():
        run.skip(name, reason)
    return set(found["usable"])


STAGE = Stage(
    "adapt",
    Settings,
    run,
    needs=("decoder",),
    paths=("data.root", "data.labels", "data.train", "data.val", "adapt.corrected"),
    objective="val/miou",
    makes=("model", "masks"),
    reviews=("images", "tags"),
)
