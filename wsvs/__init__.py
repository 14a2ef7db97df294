"""wsvs: semantic segmentation from image tags, with web videos as the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wsvs.api import Model

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def load(
    checkpoint: str | Path,
    *,
    device: str = "cpu",
    method: Literal["decoder", "attention", "mean"] = "decoder",
    class_threshold: float | Literal["auto"] = 0.6,
    background: float | Literal["otsu"] = 0.5,
    flip: bool = False,
    zooms: Sequence[float] = (1.0,),
    refine: Literal["none", "cut"] = "none",
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
        checkpoint: <run>/checkpoints/best.ckpt of stage adapt or decoder (of encoder for method='attention').
        device: 'cpu', 'cuda', 'cuda:1', ..., or 'auto': a GPU where there is one.
        method: What gives the masks: the decoder, the attention itself, or their mean.
        class_threshold: A class is predicted where its score reaches this, with 'auto' the threshold that was chosen
            for it when the encoder was trained; the best one always is.
        background: Pixels whose best probability does not exceed this are background; 'otsu' finds it per image.
        flip: Average with the mirrored image.
        zooms: Average over the image at these multiples of the network's size.
        refine: 'cut' lets the borders follow the image's colours by a graph cut.

    Raises:
        UserError: Not a checkpoint of ours, or one without the decoder that is needed; a device that cannot
            be used.
        ValueError: A setting that is of another type or out of its range.
    """
    from wsvs import api  # late: torch takes seconds, and most of the package does without it

    return api.load(
        checkpoint,
        device=device,
        method=method,
        class_threshold=class_threshold,
        background=background,
        flip=flip,
        zooms=zooms,
        refine=refine,
    )
