"""Stage decoder: learn class-agnostic segmentation from the videos' masks (section 3.3, Eq. 6)."""

from __future__ import annotations

from wsvs.core.errors import UserError
from wsvs.core.files import read_jsonl
from wsvs.data.frames import FrameCrop, FrameDataset, FrameSet
from wsvs.data.training import TrainingData
from wsvs.lit.decoder import DecoderModule, net_of
from wsvs.stages._lightning import build_trainer, decoder_config, fit, optimisation
from wsvs.stages._run import Run

NEEDS = ("encoder", "segment")
SECTIONS = ("model", "decoder", "trainer", "callbacks")
OBJECTIVE = "val/miou"


def run(run: Run) -> None:
    cfg, settings = run.cfg, run.cfg.decoder
    encoder = str(run.checkpoint("encoder"))
    segmented = run.inputs["segment"]
    frames = FrameSet.select(
        segmented, list(read_jsonl(segmented / "shots.jsonl")), settings.min_area, settings.max_area,
        settings.min_confidence,
    )
    if not frames.shots:
        raise UserError(
            "no frame has a usable mask", where=segmented / "shots.jsonl",
            remedy="widen decoder.min_area and decoder.max_area, lower decoder.min_confidence, or look at the masks",
        )
    if not (segmented / "frames").is_dir():
        raise UserError("the segment run kept no frames", where=segmented, remedy="segment with segment.frames=true")
    train, held = frames.split(settings.holdout)
    config = decoder_config(cfg, net_of(encoder))
    size = settings.size or cfg.model.image_size
    crop = FrameCrop(size, settings.crop, tuple(settings.coverage), settings.jitter)
    plain = FrameCrop(size, settings.crop, tuple(settings.coverage), jitter=0, mirror=False)
    classes = config.classes
    unknown = sorted({shot["class"] for shot in frames.shots} - set(classes))
    if unknown:
        raise UserError(
            f"the encoder does not know {', '.join(unknown)}, of which there are masks", where=encoder,
            remedy="name runs that belong together: inputs.encoder=DIR inputs.segment=DIR, or run the stages anew",
        )
    loaders = TrainingData(
        FrameDataset(train, classes, crop),
        FrameDataset(held if held.shots else train, classes, plain, fixed=settings.val_items),
        batch_size=settings.batch_size, workers=settings.workers, seed=cfg.seed,
    )
    module = DecoderModule(config.asdict(), **optimisation(cfg, settings), start=encoder)
    trainer = build_trainer(run, steps=settings.steps, val_every=settings.val_every, monitor="val/miou")
    results = fit(run, trainer, module, loaders)
    run.finish(
        counts={
            "frames": len(train), "shots": len(train.shots), "held-out shots": len(held.shots),
            "classes": len({shot["class"] for shot in train.shots}),
        },
        results=results,
        wrote=run.dir / "checkpoints" / "best.ckpt", supervision="image tags (masks made from videos)",
    )
