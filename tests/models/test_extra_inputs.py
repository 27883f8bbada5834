"""SFT-GAN's generator and SRMD: networks that take a second input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.sft_gan import SFTGAN
from sr_experiments.models.srmd import SRMD
from sr_experiments.upsamplers import SubPixel


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def sft(scale: int = 4) -> SFTGAN:
    return SFTGAN(scale, SubPixel, features=4, blocks=2, condition=4)


def srmd() -> SRMD:
    return SRMD(2, SubPixel, features=4, layers=3, maps=5)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_another_condition_makes_another_image_where_it_differs(scale: int) -> None:
    network, lr = sft(scale).double(), torch.rand(1, 3, 24, 24, dtype=torch.float64)
    sky = torch.zeros(1, 8, 24 * scale, 24 * scale, dtype=torch.float64)
    sky[:, 0] = 1
    half = sky.clone()
    half[:, 0, :, : 12 * scale], half[:, 1, :, : 12 * scale] = 0, 1
    difference = (network(lr, half) - network(lr, sky)).abs().amax((0, 1, 2))
    assert (difference[: 8 * scale] > 0).all()
    # Behind the first transform there are fewer than ten convolutions of radius 1.
    assert (difference[-2 * scale :] == 0).all()


def test_sft_restated() -> None:
    network, lr, condition = sft(), torch.rand(1, 3, 5, 4), torch.rand(1, 8, 20, 16)
    shared = network.conditions(condition)
    assert shared.shape == (1, 4, 5, 4)
    shallow = x = network.head(lr)
    for block in network.blocks:
        inner = torch.relu(block.convs[0](block.transforms[0](x, shared)))
        x = x + block.convs[1](block.transforms[1](inner, shared))
    x = shallow + network.body_end(network.transform(x, shared))
    assert torch.allclose(network(lr, condition), network.tail(network.upsample(x)), atol=1e-6)


@pytest.mark.parametrize(
    ("condition", "told"),
    [(None, "none was given"), (torch.rand(1, 8, 5, 4), r"has the shape \(1, 8, 5, 4\)")],
)
def test_sft_asks_for_its_condition(condition: Tensor | None, told: str) -> None:
    with pytest.raises(UserError, match=rf"shape \(1, 8, 20, 16\); .*{told}"):
        sft()(torch.rand(1, 3, 5, 4), condition)


def test_srmd_takes_a_map_or_one_row_for_all_positions() -> None:
    network, lr, row = srmd(), torch.rand(2, 3, 5, 4), torch.rand(2, 5)
    everywhere = row[:, :, None, None].repeat(1, 1, 5, 4)
    assert torch.equal(network(lr, row), network(lr, everywhere))
    body = network.body(torch.cat([lr, everywhere], dim=1))
    assert torch.equal(network(lr, row), network.upsample(body))
    assert not torch.allclose(network(lr, row), network(lr, row + 1))


@pytest.mark.parametrize(
    ("given", "told"),
    [(None, "none was given"), (torch.rand(2, 4), r"shape \(2, 4\)"), (torch.rand(2, 5, 1, 1), "1, 1")],
)
def test_srmd_asks_for_its_map(given: Tensor | None, told: str) -> None:
    with pytest.raises(UserError, match=rf"shape \(2, 5\) or \(2, 5, 5, 4\).*{told}"):
        srmd()(torch.rand(2, 3, 5, 4), given)


def test_srmd_has_as_many_convolutions_as_asked_for() -> None:
    network = SRMD(4, SubPixel)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 11 + 2  # the doubling upsampler has 2
    with pytest.raises(UserError, match=r"model\.layers=1 is too few"):
        SRMD(4, SubPixel, layers=1)
