"""Dilated stages: what the strided network computes, and what it would compute of shifted maps in between."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.nets.dilation import NotDilated, dilate


class Conv2dSame(nn.Conv2d):
    """TensorFlow's padding by stride and dilation, as timm has it under this name."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, step, dilation in zip(
            input.shape[:1:-1], self.kernel_size, self.stride, self.dilation, strict=True
        ):
            total = max((-(-side // step) - 1) * step + (kernel - 1) * dilation + 1 - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Net(nn.Module):
    """Levels at strides 2 and 4, and one more for each of `deep`."""

    def __init__(self, *deep: nn.Module) -> None:
        super().__init__()
        self.stem = nn.ModuleList([nn.Conv2d(3, 4, 3, 2, 1), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1))])
        self.deep = nn.ModuleList(deep)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for stage in (*self.stem, *self.deep):
            x = stage(x)
            levels.append(x)
        return levels


class Residual(nn.Module):
    """A depthwise block with a strided way round it."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.through = nn.Sequential(
            nn.Conv2d(6, 12, 1), nn.ReLU(), nn.Conv2d(12, 12, 5, stride, 2, groups=12), nn.ReLU(), nn.Conv2d(12, 6, 1)
        )
        self.around = nn.Conv2d(6, 6, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.around(x) + self.through(x)


class Slices(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


class ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2].movedim(1, -1)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


def conv(*args: int, **kwargs: object) -> nn.Module:
    return nn.Conv2d(6, 6, *args, **kwargs)  # type: ignore[arg-type]


STAGES = {
    "convolution": lambda: nn.Sequential(conv(3, 2, 1), nn.ReLU(), conv(3, 1, 1)),
    "even window": lambda: nn.Sequential(conv(2, 2), conv(7, 1, 3, groups=6)),
    "depthwise": lambda: nn.Sequential(Residual(2), Residual(1)),
    "max-pool": lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), conv(3, 1, 1), nn.MaxPool2d(3, 1, 1)),
    "max-pool of an even window": lambda: nn.Sequential(nn.MaxPool2d(2, 2), conv(3, 1, 1)),
    "average pool": lambda: nn.Sequential(nn.AvgPool2d(2, 2), conv(1), conv(3, 1, 2, dilation=2)),
}


def two_of(kind: str) -> list[nn.Module]:
    """An average pool has no dilation, so another stage follows it."""
    return [STAGES[kind](), STAGES["convolution" if kind == "average pool" else kind]()]


@pytest.mark.parametrize("kind", STAGES)
@torch.no_grad()
def test_dilated_equals_strided_at_the_positions_they_share(kind):
    torch.manual_seed(0)
    net = Net(*two_of(kind)).eval()
    x = torch.randn(2, 3, 64, 96)
    strided = net(x)
    state = net.state_dict()
    dilate(net, 4, 16)
    dense = net(x)
    assert [level.shape[-2:] for level in dense] == [(32, 48), (16, 24), (16, 24), (16, 24)]
    assert torch.equal(dense[0], strided[0]) and torch.equal(dense[1], strided[1])
    torch.testing.assert_close(dense[2][..., ::2, ::2], strided[2])
    torch.testing.assert_close(dense[3][..., ::4, ::4], strided[3])
    assert net.state_dict().keys() == state.keys()


@pytest.mark.parametrize("kind", STAGES)
@torch.no_grad()
def test_between_them_it_is_the_strided_one_of_a_shifted_map(kind):
    torch.manual_seed(0)
    stage = nn.Sequential(*two_of(kind)).eval()
    net = Net(*stage)
    x = torch.randn(1, 3, 256, 256)
    shared = net(x)[1]
    shifted = {(a, b): stage(shared[..., a:, b:])[..., 6:10, 6:10] for a in range(4) for b in range(4)}
    dilate(net, 4, 16)
    dense = net(x)[-1]
    for (a, b), expected in shifted.items():
        torch.testing.assert_close(dense[..., a::4, b::4][..., 6:10, 6:10], expected)


@torch.no_grad()
def test_windows_padded_by_tensorflows_rule():
    torch.manual_seed(0)
    net = Net(nn.Sequential(Conv2dSame(6, 6, 3, 2), nn.ReLU(), Conv2dSame(6, 6, 5)))
    x = torch.randn(1, 3, 64, 96)
    strided = net(x)[-1]
    dilate(net, 4, 8)
    # a step of two over an even size begins one cell later than a step of one
    torch.testing.assert_close(net(x)[-1][..., 1::2, 1::2], strided)


def test_a_network_in_training_stays_so_and_untouched():
    net = Net(nn.Sequential(conv(3, 2, 1), nn.BatchNorm2d(6))).train()
    random = torch.get_rng_state()
    dilate(net, 4, 8)
    assert net.training and net.deep[0][1].num_batches_tracked == 0 and torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        ([Slices()], "level of 4 cells per side gets 4 instead of 8"),
        ([ChannelsLast()], "not laid out as"),
        ([Twice()], "one Conv2d at strides 4 and 8"),
        ([nn.Sequential(conv(3, 2, 1), nn.AvgPool2d(3, 1, 1))], "AvgPool2d at stride 8, which has no dilation"),
        ([conv(3, 2, 1, padding_mode="reflect")], "Conv2d with reflect padding"),
        ([conv(1, 2, 1)], "Conv2d makes maps larger"),
    ],
)
def test_what_cannot_be_dilated(stages, complaint):
    net = Net(*stages)
    deepest = 64 // net(torch.zeros(1, 3, 64, 64))[-1].shape[2]
    with pytest.raises(NotDilated, match=complaint):
        dilate(net, 4, deepest)


def test_a_step_over_the_wanted_stride_is_refused():
    over = Net(conv(3, 4, 1))
    with pytest.raises(NotDilated, match="steps from stride 4 to 16 at once"):
        dilate(over, 8, 16)


def test_an_inner_step_is_refused():
    class Inner(nn.Module):  # reduces its map and brings it back, as some attention does
        def __init__(self) -> None:
            super().__init__()
            self.down = conv(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x + F.interpolate(self.down(x), x.shape[-2:])

    net = Net(conv(3, 2, 1))
    net.stem[1].append(Inner())
    with pytest.raises(NotDilated, match="levels up to stride 4 would change"):
        dilate(net, 4, 8)
