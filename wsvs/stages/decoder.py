"""Stage decoder: learn class-agnostic segmentation from the videos' masks (section 3.3, Eq. 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsvs.config.groups import ModelSettings, TrainerSettings
from wsvs.config.stages import DecoderSettings
from wsvs.core.errors import UserError
from wsvs.core.reviews import ACCEPT
from wsvs.engine.run import Run
from wsvs.engine.stage import Stage, reads
from wsvs.records.masks import SHOTS
from wsvs.records.shots import Shot


@dataclass(frozen=True)
class Settings:
    model: ModelSettings
    decoder: DecoderSettings
    trainer: TrainerSettings
    callbacks: Mapping[str, object]
    use: bool = reads("review.use", result=False)


def run(run: Run[Settings]) -> None:
    from wsvs.data.frames import FrameCrop, FrameDataset, FrameSet, reviewed
    from wsvs.data.training import TrainingData
    from wsvs.engine.optimisation import decoder_config, optimisation
    from wsvs.engine.trainer import build_trainer, fit, set_seed
    from wsvs.lit.decoder import DecoderModule, net_of

    settings, model = run.settings.decoder, run.settings.model
    set_seed(run.seed)
    encoder = str(run.checkpoint("encoder"))
    segmented = run.inputs["segment"]
    answers = run.reviews.shots
    frames = FrameSet.select(
        segmented,
        reviewed(Shot.read(segmented / SHOTS), answers),
        settings.min_area,
        settings.max_area,
        settings.min_confidence,
    )
    if not frames.shots:
        raise UserError(
            "no frame has a usable mask",
            where=segmented / SHOTS,
            remedy="widen decoder.min_area and decoder.max_area, lower decoder.min_confidence, or inspect the masks"
            + ("; the review has rejected some: review.use=false trains without it" if answers else ""),
        )
    if not frames.masks.has_frames:
        remedy = "run stage segment with segment.frames=true"
        raise UserError("the segment run stored no frames", where=segmented, remedy=remedy)
    train, held = frames.split(settings.holdout)
    config = decoder_config(model, net_of(encoder))
    size = settings.size or model.image_size
    crop = FrameCrop(size, settings.crop, settings.coverage, settings.jitter)
    plain = FrameCrop(size, settings.crop, settings.coverage, jitter=0, mirror=False)
    classes = config.classes
    unknown = sorted({shot.class_name for shot in frames.shots} - set(classes))
    if unknown:
        raise UserError(
            f"the masks have classes that the encoder does not know: {', '.join(unknown)}",
            where=encoder,
            remedy="name runs that belong together: inputs.encoder=DIR inputs.segment=DIR, or run the stages again",
        )
    weights = {name: settings.accepted_weight for name, answer in answers.items() if answer.verdict == ACCEPT}
    loaders = TrainingData(
        FrameDataset(train, classes, crop, weights=weights),
        FrameDataset(held if held.shots else train, classes, plain, fixed=settings.val_items),
        batch_size=settings.batch_size,
        workers=settings.workers,
        seed=run.seed,
    )
    module = DecoderModule(config.asdict(), **optimisation(model, settings), start=encoder)
    module.person = run.by_a_person()
    trainer = build_trainer(
        run, training=settings, steps=settings.steps, val_every=settings.val_every, monitor="val/miou"
    )
    results = fit(run, trainer, module, loaders)
    run.finish(
        counts={
            "frames": len(train),
            "shots": len(train.shots),
            "held-out shots": len(held.shots),
            "classes": len({shot.class_name for shot in train.shots}),
        },
        results=results,
        wrote=run.dir / "checkpoints" / "best.ckpt",
        supervision="image tags (masks made from videos)",
    )


STAGE = Stage(
    "decoder",
    Settings,
    run,
    needs=("encoder", "segment"),
    objective="val/miou",
    makes=("model",),
    reviews=("shots",),
)
