"""Replace strides by dilation where feature maps would be too coarse (Yu & Koltun 2016)."""

from __future__ import annotations

from functools import partial
from math import log2
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_Windows = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


class NotDilated(ValueError):
    """A network cannot be dilated; the message gives the reason."""


@torch.no_grad()
def dilate(net: nn.Module, stride: int, deepest: int) -> None:
    """Dilate a network in place, so that no level is coarser than `stride` px per cell.

    A convolution or pool that would step further steps by one cell, and those behind it look that much wider: where
    the strided network has a value, the dilated one has the same, and it has the values between them too.

    Args:
        net: Images (B, 3, H, W) -> a list of its levels, shallow to deep.
        deepest: Stride of its last level before.

    Raises:
        NotDilated: It has a layer for which this is not defined, or makes its steps in another way. The network is
            of no use then.
    """
    training, side = net.training, 4 * deepest
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    strides: dict[_Windows, int] = {}

    def meet(module: Any, inputs: tuple[Tensor, ...]) -> None:
        found = 2 ** round(log2(side / inputs[0].shape[-1]))
        if strides.setdefault(module, found) != found:
            raise NotDilated(f"it uses one {type(module).__name__} at strides {strides[module]} and {found}")

    hooks = [module.register_forward_pre_hook(meet) for module in net.modules() if isinstance(module, _Windows)]
    before = _levels(net.eval(), image)
    for hook in hooks:
        hook.remove()
    for module, found in strides.items():
        if found <= deepest:
            _dilate(module, found, stride)
    after = _levels(net, image)
    for old, new in zip(before, after, strict=True):
        if old.shape[-1] >= side // stride:
            if not torch.allclose(old, new, rtol=1e-3, atol=1e-4):
                raise NotDilated(f"its levels up to stride {stride} would change")
        elif new.shape[-1] != side // stride:
            cells, wanted = new.shape[-1], side // stride
            raise NotDilated(f"its level of {old.shape[-1]} cells per side gets {cells} instead of {wanted}")
    net.train(training)


def _levels(net: nn.Module, image: Tensor) -> list[Tensor]:
    try:
        levels = net(image)
    except NotDilated:
        raise
    except Exception as error:  # from the network's code: a fixed size, or sizes that no longer match
        raise NotDilated(str(error)) from error
    if any(level.ndim != 4 or level.shape[-1] != level.shape[-2] for level in levels):
        raise NotDilated("its maps are not laid out as (images, channels, rows, columns)")
    return levels


def _dilate(module: _Windows, found: int, stride: int) -> None:
    """Dilate one layer whose input was at stride `found` in the original network."""
    kernel, step, padding = (_pair(value) for value in (module.kernel_size, module.stride, module.padding))
    if found * max(step) <= stride or (max(step) == 1 and max(kernel) == 1):
        return
    if found < stride:
        raise NotDilated(f"it steps from stride {found} to {found * max(step)} at once")
    factor = found // stride
    name = type(module).__name__
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise NotDilated(f"it has a {name} with {module.padding_mode} padding")
    if factor > 1 and max(kernel) > 1 and isinstance(module, nn.AvgPool2d):
        raise NotDilated(f"it has an {name} at stride {found}, which has no dilation")
    wide = [1, 1] if isinstance(module, nn.AvgPool2d) else [one * factor for one in _pair(module.dilation)]
    module.stride = (1, 1)
    if not isinstance(module, nn.AvgPool2d):
        module.dilation = (wide[0], wide[1])
    if name.endswith("Same") or isinstance(module.padding, str):  # these compute padding from stride and dilation
        return
    padding = padding[0] * factor, padding[1] * factor
    # windows of an even size miss cells at the far border, which a stride of two hid
    short = [d * (k - 1) - 2 * p for d, k, p in zip(wide, kernel, padding, strict=True)]
    if min(short) < 0:
        raise NotDilated(f"its {name} makes maps larger")
    if isinstance(module, nn.MaxPool2d):  # its padding is limited, too small for the dilated window
        module.padding = 0
        pads = padding[1], padding[1] + short[1], padding[0], padding[0] + short[0]
        module.register_forward_pre_hook(partial(_pad, pads, "constant", -torch.inf))
    else:
        module.padding = padding
        if max(short):
            module.register_forward_pre_hook(partial(_pad, (0, short[1], 0, short[0]), "replicate", None))


def _pad(
    pads: tuple[int, ...], mode: str, value: float | None, module: nn.Module, inputs: tuple[Tensor, ...]
) -> Tensor:
    return F.pad(inputs[0], pads, mode, value)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, str):
        return 0, 0
    return (value, value) if isinstance(value, int) else (value[0], value[1])
