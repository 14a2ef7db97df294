"""Stage encoder: learn classification, and with it attention, from tagged images (section 3.1)."""

from __future__ import annotations

from wsvs.data.tagged_module import TaggedDataModule
from wsvs.data.transforms import ImageAugmentation
from wsvs.lit.encoder import EncoderModule
from wsvs.stages._lightning import build_data, build_trainer, fit, learning_rate, net_config
from wsvs.stages._run import Run

NEEDS: tuple[str, ...] = ()
SECTIONS = ("data", "model", "encoder", "trainer")


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.encoder
    data = build_data(cfg)
    splits = data.splits
    module = EncoderModule(
        net_config(cfg, data.class_list.names).asdict(), lr=learning_rate(cfg, settings),
        lr_backbone=settings.lr_backbone, schedule=settings.schedule, weights=cfg.model.weights,
        sha256=cfg.model.sha256,
    )
    augmentation = ImageAugmentation(cfg.model.image_size, tuple(settings.scale), settings.jitter)
    loaders = TaggedDataModule(data, augmentation, batch_size=settings.batch_size, workers=settings.workers)
    trainer = build_trainer(run, epochs=settings.epochs, monitor="val/map")
    best = fit(run, trainer, module, loaders)
    run.finish(
        counts={"classes": len(data.class_list), **{f"{name} images": len(ids) for name, ids in splits.items()}},
        results={"val/map": best}, wrote=run.dir / "checkpoints" / "best.ckpt",
        supervision="image tags" + (", ImageNet labels (pre-trained backbone)" if cfg.model.weights else ""),
    )
