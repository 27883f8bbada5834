"""What can stand in a trunk, against loops and closed forms."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import (
    ChannelAttention,
    HalvedBlock,
    MultiScaleBlock,
    PyramidPooling,
    RegionNonLocal,
    ResidualBlock,
    ResidualDenseBlock,
    ResidualInResidual,
    SharedResidual,
    XUnit,
    haar_down,
    haar_up,
    prelu,
    relu,
    tanh,
)
from sr_experiments.models.blocks.halved import TRANSFORMS
from sr_experiments.shipped import conf_dir

BLOCKS = sorted(file.stem for file in (conf_dir() / "block").glob("*.yaml"))
ACTIVATIONS = sorted(file.stem for file in (conf_dir() / "activation").glob("*.yaml"))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def shipped(group: str, option: str) -> Any:
    return instantiate(OmegaConf.load(conf_dir() / group / f"{option}.yaml"))


# every block


@pytest.mark.parametrize("option", BLOCKS)
def test_a_block_adds_its_scaled_residual(option: str) -> None:
    make, x = shipped("block", option), torch.rand(2, 16, 7, 5)
    whole = make(16, activation=relu).eval()
    if option == "non_local":  # which starts as the identity
        nn.init.normal_(whole.body[-1].restore.weight, std=0.1)
    residual = whole(x) - x
    assert residual.shape == x.shape
    assert residual.abs().max() > 1e-3
    for scale in (0.0, 0.1):
        block = make(16, activation=relu, residual_scale=scale).eval()
        block.load_state_dict(whole.state_dict())
        if option == "recursive" and scale:
            continue  # each application sees the scaled result of the one before: see its own test
        torch.testing.assert_close(block(x), x + scale * residual, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("option", BLOCKS)
def test_a_block_takes_maps_of_any_size(option: str) -> None:
    block = shipped("block", option)(16, activation=tanh).eval()
    for height, width in ((1, 1), (2, 9), (8, 3)):
        assert block(torch.rand(1, 16, height, width)).shape == (1, 16, height, width)


# activations


def test_activations_at_points() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0]).view(1, 3, 1, 1)
    phi = [0.5 * (1 + math.erf(value / math.sqrt(2))) for value in (-1.0, 0.0, 2.0)]
    expected = {
        "relu": [0, 0, 2],
        "leaky_relu": [-0.2, 0, 2],
        "prelu": [-0.25, 0, 2],
        "gelu": [-phi[0], 0, 2 * phi[2]],
        "silu": [-1 / (1 + math.e), 0, 2 / (1 + math.exp(-2))],
        "tanh": [math.tanh(-1), 0, math.tanh(2)],
    }
    assert {*expected, "xunit"} == set(ACTIVATIONS)
    for option, values in expected.items():
        assert shipped("activation", option)(3)(x).flatten().tolist() == pytest.approx(values, abs=1e-6), option


def test_prelu_has_one_slope_or_one_for_each_channel() -> None:
    assert sum(p.numel() for p in prelu(5).parameters()) == 1
    assert sum(p.numel() for p in prelu(5, shared=False).parameters()) == 5


def normalised(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    """Batch norm over batch and positions, channel by channel."""
    result = torch.empty_like(x)
    for channel in range(x.shape[1]):
        values = x[:, channel]
        deviation = ((values - values.mean()) ** 2).mean()
        scaled = (values - values.mean()) / (deviation + layer.eps).sqrt()
        result[:, channel] = scaled * layer.weight[channel] + layer.bias[channel]
    return result


def test_xunit_equals_a_direct_loop() -> None:
    unit, x = XUnit(2, kernel=3), torch.randn(2, 2, 4, 5)
    first, _, look, last = unit.distance
    for layer in (first, last):
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.normal_(layer.bias)
    hidden = F.pad(normalised(x, first).clamp(min=0), (1, 1, 1, 1))
    seen = torch.empty_like(x)
    for channel in range(2):
        for row in range(4):
            for column in range(5):
                patch = hidden[:, channel, row : row + 3, column : column + 3]
                seen[:, channel, row, column] = (patch * look.weight[channel, 0]).sum((1, 2)) + look.bias[channel]
    assert torch.allclose(unit(x), x * torch.exp(-(normalised(seen, last) ** 2)), atol=1e-5)


def test_xunit_has_the_paper_s_kernel_and_only_shuts() -> None:
    unit, x = XUnit(3), torch.randn(2, 3, 12, 12)
    assert unit.distance[2].weight.shape == (3, 1, 9, 9)
    result = unit(x)
    assert (result.abs() <= x.abs()).all()
    assert (result * x >= 0).all()
    with pytest.raises(UserError, match="kernel of xUnit must be odd, but is 8"):
        XUnit(3, kernel=8)


@pytest.mark.parametrize("option", BLOCKS)
def test_no_activation_is_used_twice(option: str) -> None:
    """One with statistics or weights of its own would otherwise mix what comes from several places."""
    block = shipped("block", option)(16, activation=partial(prelu, shared=False))
    used: list[nn.Module] = []
    for module in block.modules():
        if isinstance(module, nn.PReLU):
            module.register_forward_hook(lambda module, *_: used.append(module))
    block(torch.rand(2, 16, 6, 6))
    assert len(used) == len(set(used)) > 0


# wavelets and rearrangement


def test_haar_of_a_square() -> None:
    a, b, c, d = 1.0, 10.0, 100.0, 1000.0
    bands = haar_down(torch.tensor([[a, b], [c, d]]).view(1, 1, 2, 2)).flatten().tolist()
    assert bands == [(a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2]


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_haar_is_inverted_exactly_and_keeps_the_energy(channels: int, rows: int, columns: int, start: int) -> None:
    generator = torch.Generator().manual_seed(start)
    x = torch.randn(2, channels, 2 * rows, 2 * columns, generator=generator, dtype=torch.float64)
    bands = haar_down(x)
    assert bands.shape == (2, 4 * channels, rows, columns)
    assert torch.allclose(haar_up(bands), x, atol=1e-14)
    assert torch.allclose(haar_down(haar_up(bands)), bands, atol=1e-14)
    assert bands.square().sum().item() == pytest.approx(x.square().sum().item())
    eighths = torch.randint(0, 2048, x.shape, generator=generator).double() / 8
    assert torch.equal(haar_up(haar_down(eighths)), eighths)


def test_haar_refuses_odd_sides() -> None:
    with pytest.raises(ValueError, match="even sides, not 3 x 4"):
        haar_down(torch.rand(1, 1, 3, 4))


def test_a_constant_has_no_details() -> None:
    bands = haar_down(torch.full((1, 3, 6, 8), 0.3))
    assert torch.allclose(bands[:, :3], torch.full((1, 3, 3, 4), 0.6))
    assert not bands[:, 3:].any()


def test_desubpixel_is_the_inverse_of_sub_pixel_rearrangement() -> None:
    down, up = TRANSFORMS["desubpixel"]
    x = torch.rand(2, 3, 6, 8)
    squares = down(x)
    for channel in range(3):
        for row in (0, 1):
            for column in (0, 1):
                assert torch.equal(squares[:, 4 * channel + 2 * row + column], x[:, channel, row::2, column::2])
    assert torch.equal(up(squares), x)
    wide = torch.rand(2, 12, 3, 4)
    assert torch.equal(down(up(wide)), wide)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_halved_block_works_on_squares_of_the_continued_map(transform: str) -> None:
    block, x = HalvedBlock(3, activation=tanh, residual_scale=0.5, transform=transform), torch.rand(1, 3, 5, 7)
    even = torch.empty(1, 3, 6, 8)
    for row in range(6):
        for column in range(8):
            even[..., row, column] = x[..., min(row, 4), min(column, 6)]
    down, up = TRANSFORMS[transform]
    first, _, last = block.body
    hidden = torch.tanh(F.conv2d(down(even), first.weight, first.bias, padding=1))
    residual = up(F.conv2d(hidden, last.weight, last.bias, padding=1))
    assert torch.allclose(block(x), x + 0.5 * residual[:, :, :5, :7], atol=1e-6)
    weights = sum(layer.weight.numel() for layer in (first, last))
    plain = sum(p.numel() for p in ResidualBlock(3, bias=False).parameters())
    assert weights == 4 * plain  # at a quarter of the positions: as many multiply-adds


def test_another_transform_is_refused() -> None:
    with pytest.raises(UserError, match=r"block\.transform=daubechies is unknown: use haar or desubpixel"):
        HalvedBlock(4, transform="daubechies")


# pyramid pooling


def test_pyramid_pooling_equals_a_direct_loop() -> None:
    pooling, x = PyramidPooling(4, bins=(1, 3)), torch.randn(1, 4, 6, 9)
    seen = [x]
    for bins, layers in zip((1, 3), pooling.narrow, strict=True):
        means = torch.empty(1, 4, bins, bins)
        for row in range(bins):
            for column in range(bins):
                rows, columns = 6 // bins, 9 // bins
                cell = x[..., row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
                means[..., row, column] = cell.mean((2, 3))
        narrow = F.conv2d(means, layers[0].weight, layers[0].bias).clamp(min=0)
        seen.append(
            torch.stack([bilinear(narrow, i, j, 6, 9) for i in range(6) for j in range(9)], -1).unflatten(-1, (6, 9))
        )
    assert [part.shape[1] for part in seen] == [4, 2, 2]
    expected = F.conv2d(torch.cat(seen, dim=1), pooling.fuse.weight, pooling.fuse.bias)
    assert torch.allclose(pooling(x), expected, atol=1e-5)


def bilinear(cells: Tensor, row: int, column: int, height: int, width: int) -> Tensor:
    """A pixel of a grid of cells enlarged to (height, width), with centres at halves."""
    weight = torch.ones(1)
    for at, size, axis in ((row, height, 2), (column, width, 3)):
        count = cells.shape[axis]
        place = min(max((at + 0.5) * count / size - 0.5, 0), count - 1)
        along = (1 - (torch.arange(float(count)) - place).abs()).clamp(min=0)
        weight = weight[..., None] * along
    return (cells * weight[0]).sum((2, 3))


def test_pyramid_pooling_refuses_grids_without_cells() -> None:
    for bins in ((), (0, 2)):
        with pytest.raises(UserError, match="pyramid pooling must be whole numbers of at least 1"):
            PyramidPooling(4, bins=bins)


# variations of the residual block and of others


def test_dilated_block_looks_further_first_and_between_then() -> None:
    block, x = ResidualBlock(2, dilation=2), torch.rand(1, 2, 8, 8)
    first, _, second = block.body
    hidden = torch.zeros(1, 2, 8, 8)
    padded = F.pad(x, (2, 2, 2, 2))
    for row in range(3):
        for column in range(3):
            moved = padded[..., 2 * row : 2 * row + 8, 2 * column : 2 * column + 8]
            hidden += torch.einsum("oi,bihw->bohw", first.weight[:, :, row, column], moved)
    hidden = (hidden + first.bias[:, None, None]).clamp(min=0)
    expected = x + F.conv2d(hidden, second.weight, second.bias, padding=1)
    assert torch.allclose(block(x), expected, atol=1e-6)
    assert second.dilation == (1, 1)


@pytest.mark.parametrize("context", [partial(ChannelAttention, reduction=2), RegionNonLocal, PyramidPooling])
def test_the_context_comes_last_in_the_body(context: Any) -> None:
    block, x = ResidualBlock(8, context=context), torch.rand(1, 8, 6, 6)
    *plain, last = block.body
    assert torch.allclose(block(x), x + last(nn.Sequential(*plain)(x)), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, r"block\.groups=3 must divide the 8 features"),
        ({"groups": 0}, r"block\.groups=0 must divide the 8 features"),
        ({"kernel": 4}, "odd kernel and a dilation >= 1, not 4, 1"),
        ({"dilation": 0}, "odd kernel and a dilation >= 1, not 3, 0"),
    ],
)
def test_residual_block_refuses_what_cannot_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ResidualBlock(8, **options)


def test_shared_residual_adds_to_what_it_began_with() -> None:
    block, x = SharedResidual(3, applications=2, residual_scale=0.5).eval(), torch.rand(1, 3, 5, 5)
    once = x + 0.5 * block.unit(x, 0)
    assert torch.allclose(block(x), x + 0.5 * block.unit(once, 1), atol=1e-6)
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 2
    with pytest.raises(UserError, match="applied at least once, not 0 times"):
        SharedResidual(3, applications=0)


def test_non_local_block_compares_in_an_eighth_of_the_channels() -> None:
    assert RegionNonLocal(32).query.out_channels == 4
    assert RegionNonLocal(4).query.out_channels == 1


def test_blocks_of_the_papers_have_their_sizes() -> None:
    def parameters(block: nn.Module) -> int:
        return sum(p.numel() for p in block.parameters())

    def conv(channels_in: int, channels_out: int, kernel: int) -> int:
        return channels_in * channels_out * kernel**2 + channels_out

    dense = sum(conv(64 + 64 * k, 64, 3) for k in range(8)) + conv(64 * 9, 64, 1)
    assert parameters(ResidualDenseBlock(64)) == dense
    rrdb = 3 * (sum(conv(64 + 32 * k, 32, 3) for k in range(4)) + conv(64 + 128, 64, 3))
    assert parameters(ResidualInResidual(64)) == rrdb
    multi = conv(64, 64, 3) + conv(64, 64, 5) + conv(128, 128, 3) + conv(128, 128, 5) + conv(256, 64, 1)
    assert parameters(MultiScaleBlock(64)) == multi
    assert parameters(shipped("block", "channel_attention")(64, activation=relu)) == (
        2 * conv(64, 64, 3) + conv(64, 4, 1) + conv(4, 64, 1)
    )
