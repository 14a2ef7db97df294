"""Stage encoder: learn classification, and with it attention, from tagged images (section 3.1)."""

from __future__ import annotations

from wsvs.data.tagged import TaggedDataset
from wsvs.data.training import TrainingData
from wsvs.data.transforms import ImageAugmentation
from wsvs.lit.encoder import EncoderModule
from wsvs.stages._lightning import build_data, build_trainer, fit, net_config, optimisation
from wsvs.stages._run import Run

NEEDS: tuple[str, ...] = ()
SECTIONS = ("data", "model", "encoder", "trainer", "callbacks")
OBJECTIVE = "val/map"


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.encoder
    data = build_data(cfg)
    splits = data.splits
    module = EncoderModule(
        net_config(cfg, data.class_list.names).asdict(), lr_backbone=settings.lr_backbone, weights=cfg.model.weights,
        sha256=cfg.model.sha256, **optimisation(cfg, settings),
    )
    augmentation = ImageAugmentation(cfg.model.image_size, tuple(settings.scale), settings.jitter)
    loaders = TrainingData(
        TaggedDataset(data, splits["train"], augmentation), TaggedDataset(data, splits["val"], None),
        batch_size=settings.batch_size, val_batch_size=1, workers=settings.workers, seed=cfg.seed,
    )
    trainer = build_trainer(run, epochs=settings.epochs, monitor="val/map")
    results = fit(run, trainer, module, loaders)
    run.finish(
        counts={"classes": len(data.class_list), **{f"{name} images": len(ids) for name, ids in splits.items()}},
        results=results, wrote=run.dir / "checkpoints" / "best.ckpt",
        supervision="image tags" + (", ImageNet labels (pre-trained backbone)" if cfg.model.weights else ""),
    )
