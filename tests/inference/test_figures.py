"""Multiply-adds and receptive fields against published numbers and against counting in another way."""

from __future__ import annotations

import math

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.app.compose import compose_config
from sr_experiments.app.networks import read_published
from sr_experiments.degradations import bicubic_upsample
from sr_experiments.inference.figures import multiply_adds, receptive_field


def made(name: str, scale: int, *overrides: str) -> nn.Module:
    return instantiate(compose_config("train", [f"model={name}", f"scale={scale}", *overrides]).model).eval()


def billions(name: str, scale: int, channels: int, *overrides: str) -> float:
    with torch.device("meta"):
        network = made(name, scale, *([f"model.channels={channels}"] if channels != 3 else []), *overrides)
    return multiply_adds(network, 720 // scale, 1280 // scale, channels) / 1e9


@pytest.mark.parametrize(
    ("name", "scale", "channels"),
    [(name, 4, 1) for name in ("srcnn", "vdsr", "drcn", "drrn")] + [("carn", 2, 3), ("carn", 4, 3), ("carn_m", 4, 3)],
)
def test_multiply_adds_are_the_published_ones(name: str, scale: int, channels: int) -> None:
    # Published with one decimal, and that is how far they agree.
    published = read_published()[name]["multiply_adds"][scale]
    assert billions(name, scale, channels) == pytest.approx(published, abs=0.051)


def test_multiply_adds_that_are_published_less_exactly() -> None:
    # Published: 114.0. MemNet's table counts the convolution that makes the image once, where there are six images.
    assert billions("edsr_baseline", 4, 3) == pytest.approx(114.0, rel=0.003)
    repeated = 5 * 9 * 64 * 720 * 1280 / 1e9
    assert billions("memnet", 4, 1) - repeated == pytest.approx(2662.4, abs=0.1)
    # FSRCNN's transposed convolution is counted at every output pixel there, 16 times as often as it is computed.
    transposed = 9 * 9 * 56 * 180 * 320 / 1e9
    assert billions("fsrcnn", 4, 1) + 15 * transposed == pytest.approx(4.6, abs=0.05)


def test_multiply_adds_by_hand() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1, groups=1)
            self.grow = nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1)

        def forward(self, lr: Tensor) -> Tensor:
            features = self.conv(lr)
            flat = features.flatten(2)
            likeness = flat @ flat.transpose(1, 2)  # (4, n) by (n, 4)
            mixed = (likeness @ flat).view_as(features)  # (4, 4) by (4, n)
            # Interpolation by a fixed matrix is no part of what is learned.
            return self.grow(mixed).mean(1, keepdim=True) + bicubic_upsample(lr, scale=2)

    with torch.device("meta"):
        network = Products()
    pixels = 6 * 7
    by_hand = 9 * 3 * 4 * pixels + 16 * 4 * 5 * pixels + 2 * 16 * pixels
    assert multiply_adds(network, 6, 7) == by_hand


def test_counting_leaves_interpolation_as_it_was() -> None:
    """What is computed for shapes alone must not be kept for real images of the same size."""
    billions("srcnn", 4, 3)
    lr = torch.rand(1, 1, 180, 320)
    assert bicubic_upsample(lr, scale=4).isfinite().all()


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("srcnn", ["model.kernels=[9,1,5]"], 13),  # the paper
        ("srcnn", [], 17),
        ("vdsr", [], 41),  # the paper
        ("drcn", [], 41),  # the paper
        # One convolution in front, two in each of 25 units, one behind: 52 layers of radius 1.
        ("drrn", [], 1 + 2 * 52),
    ],
)
def test_receptive_field_behind_a_fixed_enlargement(name: str, overrides: list[str], expected: int) -> None:
    field = receptive_field(made(name, 4, *overrides))
    assert field.enlarged == expected
    # Bicubic interpolation adds four LR pixels to what an enlarged pixel is made of.
    assert field.lr is not None
    assert math.ceil(expected / 4) <= field.lr <= math.ceil(expected / 4) + 4


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("espcn", [], 5 + 2 + 2),
        # 35 convolutions of the small image; the three enlarged pixels of the last one reach into one more LR pixel.
        ("edsr_baseline", ["upsampler=subpixel_single_step"], 2 * (1 + 32 + 1 + 1) + 1 + 1),
        ("srmd", [], 25),  # twelve convolutions
        ("rcan", ["model.groups=1", "model.blocks=1"], None),  # the mean of the whole image
        ("san", ["model.groups=1", "model.blocks=1"], None),  # its covariance
    ],
)
def test_receptive_field_of_networks_on_the_small_image(name: str, overrides: list[str], expected: int | None) -> None:
    field = receptive_field(made(name, 4, *overrides))
    assert field.lr == expected
    assert field.enlarged is None


def test_receptive_field_is_where_the_gradient_is() -> None:
    """In a small network with positive weights, every pixel within the field has a gradient, and none beyond it."""
    for upsampler, scale in (("subpixel", 2), ("transposed_overlap", 2), ("nearest_conv", 4), ("transposed_9x9", 3)):
        network = made("carn", scale, f"upsampler={upsampler}", "model.features=4", "model.blocks=1")
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.01)
        network.double()
        lr = torch.rand(1, 3, 61, 61, dtype=torch.float64, requires_grad=True)
        row = network(F.relu(lr) + 1)[0, 0, 30 * scale]
        widths = []
        for phase in range(scale):
            (gradient,) = torch.autograd.grad(row[30 * scale + phase], lr, retain_graph=True)
            widths.append(int((gradient[0].abs().sum(0) > 0).any(0).sum()))
        assert receptive_field(network.float()).lr == max(widths)


def test_the_field_does_not_depend_on_the_weights() -> None:
    network = made("small", 2, "model.blocks=2")
    before = receptive_field(network)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    assert receptive_field(network) == before
