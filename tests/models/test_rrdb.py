"""RRDBNet and MSRResNet: sizes, dense connections by hand, starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import DenseBlock, ResidualInResidual
from sr_experiments.models.msrresnet import MSRResNet
from sr_experiments.models.rrdb import RRDBNet
from sr_experiments.upsamplers import Interpolation, ResizeConv, SubPixel, Transposed

LEARNED = (ResizeConv, partial(ResizeConv, mode="bilinear"), SubPixel, partial(SubPixel, single_step=True), Transposed)


def constant(layer: nn.Module, weight: float, bias: float = 0.0) -> None:
    """Let a convolution give `weight` times the sum of its channels, plus `bias`."""
    assert isinstance(layer, nn.Conv2d)
    nn.init.zeros_(layer.weight)
    layer.weight.data[:, :, 1, 1] = weight
    nn.init.constant_(layer.bias, bias)


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        (16_697_987, lambda: RRDBNet(4, ResizeConv)),
        (16_697_987 - 36_928, lambda: RRDBNet(2, ResizeConv)),
        (1_517_571, lambda: MSRResNet(4, SubPixel)),
        (1_517_571 - 147_712, lambda: MSRResNet(2, SubPixel)),
    ],
)
def test_number_of_parameters(expected: int, make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) == expected


@pytest.mark.parametrize("network", [partial(RRDBNet, growth=4), MSRResNet])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("upsampler", LEARNED)
def test_enlarges_with_every_learned_upsampler(
    upsampler: Callable[..., nn.Module], scale: int, network: Callable[..., nn.Module]
) -> None:
    sr = network(scale, upsampler, features=8, blocks=1)(torch.rand(2, 3, 5, 7))
    assert sr.shape == (2, 3, 5 * scale, 7 * scale)
    assert sr.isfinite().all()


@pytest.mark.parametrize("network", [RRDBNet, MSRResNet])
def test_fixed_upsampler_is_refused(network: Callable[..., nn.Module]) -> None:
    with pytest.raises(UserError, match=network.__name__):
        network(4, Interpolation)


def test_dense_block_by_hand() -> None:
    block = DenseBlock(features=1, growth=1)
    for layer in block.convs:
        constant(layer, 1.0)
    # Each convolution adds up all before it: 3, 6, 12, 24, and the last 48; the sum is 3 + 0.2 * 48.
    result = block(torch.full((1, 1, 3, 3), 3.0))
    torch.testing.assert_close(result, torch.full((1, 1, 3, 3), 12.6))


def test_dense_block_leaks_a_fifth_of_what_is_negative() -> None:
    block = DenseBlock(features=1, growth=1)
    for layer in block.convs:
        constant(layer, 1.0)
    # -1, then -0.2, -0.24, -0.288, -0.3456, and the last without activation -2.0736.
    result = block(torch.full((1, 1, 3, 3), -1.0))
    torch.testing.assert_close(result, torch.full((1, 1, 3, 3), -1 - 0.2 * 2.0736))


def test_residual_in_residual_by_hand() -> None:
    block = ResidualInResidual(features=1, growth=1)
    for dense in block.body:
        for layer in dense.convs[:-1]:
            constant(layer, 0.0)
        constant(dense.convs[-1], 0.0, bias=5.0)
    # Each of three dense blocks adds 0.2 * 5, so that their outcome is x + 3; x + 0.2 * (x + 3).
    result = block(torch.full((1, 1, 3, 3), 2.0))
    torch.testing.assert_close(result, torch.full((1, 1, 3, 3), 3.0))


def test_trunk_of_rrdb_starts_small() -> None:
    torch.manual_seed(0)
    network = RRDBNet(4, ResizeConv, blocks=1)
    layer = network.body[0].body[0].convs[3]
    # Kaiming's standard deviation is sqrt(2 / inputs); inputs are 9 * (64 + 3 * 32).
    assert layer.weight.std().item() == pytest.approx(0.1 * math.sqrt(2 / (9 * 160)), rel=0.02)
    assert not layer.bias.any()
    # The other convolutions start as PyTorch does, uniformly up to 1 / sqrt(inputs).
    assert network.head.weight.abs().max().item() == pytest.approx(1 / math.sqrt(27), rel=0.02)


def test_msrresnet_without_its_tail_is_bilinear() -> None:
    network = MSRResNet(3, SubPixel, features=8, blocks=1)
    constant(network.tail[-1], 0.0)
    lr = torch.rand(1, 3, 5, 6)
    expected = F.interpolate(lr, size=(15, 18), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(lr), expected)


def test_msrresnet_leaves_the_start_of_the_upsampler_alone() -> None:
    torch.manual_seed(0)
    network = MSRResNet(2, partial(SubPixel, icnr=True), features=8, blocks=1)
    layer = next(module for module in network.upsample.modules() if isinstance(module, nn.Conv2d))
    assert torch.equal(layer.weight[0], layer.weight[3])
