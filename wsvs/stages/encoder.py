"""Stage encoder: learn classification, and with it attention, from tagged images (section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsvs.config.base import Section
from wsvs.config.groups import ModelSettings, TrainerSettings
from wsvs.config.stages import EncoderSettings
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, reads


@dataclass(frozen=True)
class Settings:
    data: Section
    model: ModelSettings
    encoder: EncoderSettings
    trainer: TrainerSettings
    callbacks: Mapping[str, object]
    use: bool = reads("review.use", result=False)


def run(run: Run[Settings]) -> None:
    from wsvs.data.tagged import TaggedDataset
    from wsvs.data.training import TrainingData
    from wsvs.data.transforms import ImageAugmentation
    from wsvs.engine.data import build_data
    from wsvs.engine.optimisation import net_config, optimisation
    from wsvs.engine.trainer import build_trainer, fit, set_seed
    from wsvs.lit.encoder import EncoderModule

    settings, model = run.settings.encoder, run.settings.model
    set_seed(run.seed)
    data = build_data(run)
    splits = data.splits
    module = EncoderModule(
        net_config(model, data.class_list.names).asdict(),
        lr_backbone=settings.lr_backbone,
        weights=model.weights,
        sha256=model.sha256,
        **optimisation(model, settings),
    )
    augmentation = ImageAugmentation(model.image_size, settings.scale, settings.jitter)
    loaders = TrainingData(
        TaggedDataset(data, splits["train"], augmentation),
        TaggedDataset(data, splits["val"], None),
        batch_size=settings.batch_size,
        val_batch_size=1,
        workers=settings.workers,
        seed=run.seed,
    )
    module.person = run.by_a_person()
    trainer = build_trainer(run, training=settings, epochs=settings.epochs, monitor="val/map")
    results = fit(run, trainer, module, loaders)
    run.finish(
        counts={"classes": len(data.class_list), **{f"{name} images": len(ids) for name, ids in splits.items()}},
        results=results,
        wrote=run.dir / "checkpoints" / "best.ckpt",
        supervision="image tags" + (", ImageNet labels (pre-trained backbone)" if model.weights else ""),
    )


STAGE = Stage(
    "encoder",
    Settings,
    run,
    paths=("data.root", "data.labels", "data.train", "data.val", "model.weights"),
    objective="val/map",
    makes=("model",),
    reviews=("tags",),
)
