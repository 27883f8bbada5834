"""How far networks see: against published numbers, and what tiles need of it."""

from __future__ import annotations

import math

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.app.compose import compose_config
from sr_experiments.inference.receptive_field import WIDEST, reach, receptive_field


def made(name: str, scale: int, *overrides: str) -> nn.Module:
    return instantiate(compose_config("train", [f"model={name}", f"scale={scale}", *overrides]).model).eval()


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


# what tiles need


class Box(nn.Module):
    """Sums a square of the given radius."""

    def __init__(self, radius: int, scale: int = 1) -> None:
        super().__init__()
        self.scale, self.radius = scale, radius
        self.kernel = nn.Parameter(torch.ones(1, 1, 2 * radius + 1, 2 * radius + 1))

    def forward(self, lr: Tensor) -> Tensor:
        gray = F.conv2d(lr.mean(1, keepdim=True), self.kernel, padding=self.radius)
        return F.interpolate(gray, scale_factor=self.scale, mode="nearest").expand(-1, 3, -1, -1)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("radius", [0, 1, 5, 20, 60])
def test_reach_is_the_radius_of_what_is_seen(radius: int, scale: int) -> None:
    assert reach(Box(radius, scale), scale) == radius
    assert receptive_field(Box(radius, scale)).lr == 2 * radius + 1


def test_reach_of_a_network_that_looks_everywhere_is_the_widest() -> None:
    class Everywhere(nn.Module):
        def forward(self, lr: Tensor) -> Tensor:
            return lr * lr.mean((-2, -1), keepdim=True)

    assert reach(Everywhere(), 1) == WIDEST
    assert reach(Box(90), 1) == WIDEST


def test_reach_of_a_network_that_does_not_look_at_all() -> None:
    class Blind(nn.Module):
        def forward(self, lr: Tensor) -> Tensor:
            return torch.zeros(len(lr), 3, 2 * lr.shape[2], 2 * lr.shape[3])

    assert reach(Blind(), 2) == 0


def test_reach_looks_at_every_pixel_that_an_lr_pixel_becomes_and_both_ways() -> None:
    class Skewed(nn.Module):
        """Only the last of the pixels that one LR pixel becomes looks further, to one side."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

        def forward(self, lr: Tensor) -> Tensor:
            near, far = lr.mean(1, keepdim=True), torch.roll(lr.mean(1, keepdim=True), self.by, dims=-1)
            return F.pixel_shuffle(torch.cat([near, near, near, far], dim=1), 2).expand(-1, 3, -1, -1)

    assert reach(Skewed(-4), 2) == reach(Skewed(4), 2) == 4


def test_reach_covers_maps_as_well_as_pixels() -> None:
    class Blurs(nn.Module):
        """Looks far in a condition only."""

        inputs = ("condition",)

        def __init__(self, radius: int) -> None:
            super().__init__()
            self.radius, self.scale = radius, 2
            self.input_channels = {"condition": 2}

        def forward(self, lr: Tensor, condition: Tensor) -> Tensor:
            kernel = torch.ones(1, 1, 2 * self.radius + 1, 2 * self.radius + 1)
            return F.conv2d(condition.mean(1, keepdim=True), kernel, padding=self.radius).expand(-1, 3, -1, -1)

    # 7 fine pixels from either of the two in the middle: 3.5 LR pixels, of which the last is seen in half.
    assert reach(Blurs(7), 2) == 4
    assert reach(Blurs(8), 2) == 4
    assert reach(Blurs(9), 2) == 5


@pytest.mark.parametrize("upsampler", ["dysample", "carafe", "nearest_conv"])
def test_reach_through_places_that_are_learned(upsampler: str) -> None:
    # Four convolutions on the small image, and whatever the upsampler looks at, to both sides.
    network = made("small", 2, "model.blocks=1", "model.features=4", f"upsampler={upsampler}")
    assert 4 + 1 <= reach(network, 2) <= 4 + 5
    field = receptive_field(network).lr
    assert field is not None
    assert 2 * reach(network, 2) - 1 <= field <= 2 * reach(network, 2) + 1


def test_reach_leaves_the_network_as_it_was() -> None:
    network = made("espcn", 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert 1 <= reach(network, 4) <= 2 + 1 + 1  # kernels 5, 3, 3
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)
