"""Multiply-adds against published numbers and against counting by hand."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.networks import read_published
from sr_experiments.degradations import bicubic_upsample
from sr_experiments.inference.figures import multiply_adds


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
