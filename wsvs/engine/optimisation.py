"""Settings of a training and of the model, combined."""

from __future__ import annotations

from typing import TypedDict

from wsvs.config.groups import ModelSettings
from wsvs.config.stages import EncoderSettings, Schedule, Training
from wsvs.core.errors import UserError
from wsvs.nets.model import NetConfig
from wsvs.nets.timm_backbone import PREFIX as TIMM


def learning_rates(common: float | None, training: Training | None, stage: str, trainable: str) -> dict[str, float]:
    """{setting: value} of all learning rates of a training: model.lr if given (also 0), else the stage's."""
    if training is None:
        return {}
    rates = {f"{stage}.lr": training.lr} if common is None else {"model.lr": common}
    if isinstance(training, EncoderSettings) and trainable != "none":
        rates[f"{stage}.lr_backbone"] = training.lr_backbone
    return rates


class Optimisation(TypedDict):
    """Optimizer settings of the Lightning modules."""

    lr: float
    schedule: Schedule
    warmup: int


def optimisation(model: ModelSettings, training: Training) -> Optimisation:
    lr = training.lr if model.lr is None else model.lr
    return {"lr": lr, "schedule": training.schedule, "warmup": training.warmup}


def net_config(model: ModelSettings, classes: tuple[str, ...]) -> NetConfig:
    return NetConfig(classes=tuple(classes), **model.model_dump(exclude={"weights", "sha256", "lr"}))


def decoder_config(model: ModelSettings, trained: NetConfig) -> NetConfig:
    """The trained encoder's configuration, with the decoder and input sizes of the model section.

    Raises:
        UserError: The encoder's backbone is not model.backbone.
    """
    theirs = trained.backbone
    if theirs != model.backbone:
        name = f"timm model.backbone={theirs}" if theirs.startswith(TIMM) else theirs
        raise UserError(
            f"the encoder's backbone is {theirs}, but model.backbone={model.backbone}",
            where="inputs.encoder",
            remedy=f"use the model that the encoder was trained with: model={name}",
        )
    asked = net_config(model, trained.classes)
    return trained.replaced(
        image_size=asked.image_size,
        scales=asked.scales,
        batch_norm=asked.batch_norm,
        guidance=asked.guidance,
        decoder_width=asked.decoder_width,
    )
