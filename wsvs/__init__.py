"""wsvs: weakly supervised semantic segmentation from image tags and web videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wsvs.api import Model

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def load(
    source: str | Path,
    *,
    device: str = "cpu",
    method: Literal["decoder", "attention", "mean"] | None = None,
    class_threshold: float | Literal["auto"] | None = None,
    background: float | Literal["otsu"] | None = None,
    flip: bool | None = None,
    zooms: Sequence[float] | None = None,
    refine: Literal["none", "cut"] | None = None,
    revision: str | None = None,
) -> Model:
    """Load a trained model.

    Examples:
        >>> import wsvs
        >>> model = wsvs.load("best.ckpt")
        >>> model.classes
        ('cat', 'dog')
        >>> found = model.predict("photo.jpg", tags=["dog"])
        >>> found.mask.shape, found.mask.dtype, found.tags
        ((20, 30), dtype('uint8'), ('dog',))
        >>> sorted(found.scores)
        ['cat', 'dog']
        >>> found.save("photo.png")
        >>> found.overlay().save("photo.overlay.jpg")

    Args:
        source: A run of stage adapt or decoder (of encoder for method='attention') or its checkpoints/best.ckpt; a
            folder that `Model.save_pretrained` wrote; or owner/name of the Hugging Face Hub (extra `hub`).
        device: 'cpu', 'cuda', 'cuda:1', ..., or 'auto': a GPU if there is one.
        method: Source of the masks: the decoder, the attention, or their mean. None, here and below: as the folder was
            saved; for a checkpoint the default of `stage=predict`.
        class_threshold: Classes whose score reaches this are predicted; 'auto' uses thresholds per class that were
            chosen when the encoder was trained. The best class is always predicted. Default 0.6.
        background: Pixels whose highest probability does not exceed this are background; 'otsu' chooses it per image.
            Default 0.5.
        flip: Average with the mirrored image.
        zooms: Multi-scale test-time augmentation: average over these multiples of the network's size.
        refine: 'cut' aligns the mask borders with the image's colours by a graph cut.
        revision: Branch, tag or commit of a model on the Hub.

    Raises:
        UserError: Not a model of wsvs, or one without the required decoder; a device that cannot be used.
        ValueError: A setting with another type or outside its range.
    """
    from wsvs import api  # late: importing torch takes seconds, and most of the package does not need it

    return api.load(
        source,
        device=device,
        method=method,
        class_threshold=class_threshold,
        background=background,
        flip=flip,
        zooms=zooms,
        refine=refine,
        revision=revision,
    )
