"""LapSRN, MS-LapSRN, ProSR and D-DBPN: images on the way up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.dbpn import DBPN
from sr_experiments.models.lapsrn import ImageDoubling, LapSRN
from sr_experiments.models.ms_lapsrn import MSLapSRN
from sr_experiments.models.prosr import CompressionUnit, ProSR
from sr_experiments.upsamplers import SubPixel, Transposed


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def silence(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def prosr(scale: int = 8, **options: object) -> ProSR:
    return ProSR(scale, SubPixel, **{"features": 8, "growth": 4, "levels": [[2, 1], [1], [1]], **options})


# LapSRN


def test_image_doubling_starts_bilinear() -> None:
    image = torch.rand(1, 3, 6, 7)
    expected = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(ImageDoubling(3)(image)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize("kind", [LapSRN, MSLapSRN])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_pyramid_has_an_image_at_every_level(kind: type[nn.Module], scale: int) -> None:
    network, lr = kind(scale, Transposed, features=4, depth=1), torch.rand(2, 3, 5, 4)
    images = network.outputs(lr)  # type: ignore[operator]
    factors = [2, 4, 8][: len(images)]
    assert factors[-1] == scale
    assert [image.shape for image in images] == [(2, 3, 5 * factor, 4 * factor) for factor in factors]
    assert torch.equal(network(lr), images[-1])


def test_lapsrn_adds_a_residual_to_the_doubled_image_at_each_level() -> None:
    network, lr = LapSRN(4, Transposed, features=4, depth=2), torch.rand(1, 3, 5, 4)
    nn.init.normal_(network.head.weight)
    features, image = F.leaky_relu(network.head(lr), 0.2), lr
    for level, found in zip(network.levels, network.outputs(lr), strict=True):
        for index in (0, 2):
            features = F.leaky_relu(level.body[index](features), 0.2)
        features = F.leaky_relu(level.upsample.layers[0](features), 0.2)
        image = F.conv_transpose2d(image, level.enlarge.weight, stride=2, padding=1, groups=3)
        image = image + level.residual(features)
        assert torch.allclose(found, image, atol=1e-5)


def test_ms_lapsrn_uses_the_same_weights_at_every_level_and_recursion() -> None:
    network, lr = MSLapSRN(4, Transposed, features=4, depth=2, recursions=3), torch.rand(1, 3, 5, 4)
    nn.init.normal_(network.head.weight)
    source, image = network.head(lr), lr
    for found in network.outputs(lr):
        features = source
        for _ in range(3):
            inner = features
            for index in (1, 3):
                inner = network.block[index](F.leaky_relu(inner, 0.2))
            features = inner + source
        source = network.upsample(F.leaky_relu(features, 0.2))
        image = network.enlarge(image) + network.residual(source)
        assert torch.allclose(found, image, atol=1e-5)


def test_ms_lapsrn_for_x8_holds_that_for_x2() -> None:
    large, small = (MSLapSRN(scale, Transposed, features=4) for scale in (8, 2))
    small.load_state_dict(large.state_dict())
    lr = torch.rand(1, 3, 4, 4)
    assert torch.equal(small(lr), large.outputs(lr)[0])


@pytest.mark.parametrize("scale", [3, 16, 1])
@pytest.mark.parametrize("kind", [LapSRN, MSLapSRN, ProSR])
def test_pyramids_refuse_what_doubling_does_not_reach(kind: type[nn.Module], scale: int) -> None:
    with pytest.raises(UserError, match=f"{kind.__name__} doubles .* scale={scale}: use 2, 4 or 8"):
        kind(scale, Transposed)


# ProSR


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_prosr_without_its_tail_is_bicubic(scale: int) -> None:
    network, lr = prosr(), torch.rand(1, 3, 5, 6)
    silence(network.tails[f"x{scale}"])
    assert torch.allclose(network(lr, scale), bicubic_upsample(lr, scale=scale), atol=1e-6)


def test_compression_unit_restated() -> None:
    unit, x = CompressionUnit(3, 2, 2, bottleneck=4, compressed=3, residual_scale=0.2), torch.rand(1, 3, 5, 5)

    def layer(index: int, known: Tensor) -> Tensor:
        inner = F.relu(F.conv2d(known, unit.layers[index][0].weight, unit.layers[index][0].bias))
        assert inner.shape[1] == 8
        wide = F.pad(inner, (1, 1, 1, 1), mode="reflect")
        return torch.cat([known, F.conv2d(wide, unit.layers[index][2].weight, unit.layers[index][2].bias)], dim=1)

    expected = x + 0.2 * F.conv2d(layer(1, layer(0, x)), unit.compress.weight)
    assert torch.allclose(unit(x), expected, atol=1e-6)


def test_prosr_without_residuals_compresses_all_units_but_the_last() -> None:
    network = prosr(levels=[[2, 3], [1], [1]], residual_scale=None, compression=0.5, level_compression=0.5)
    # 8 + 2 * 4 = 16, halved to 8; 8 + 3 * 4 = 20, kept; the next level begins with half of them.
    assert network.levels[0].width == 20
    assert network.levels[1].body[0].out_channels == 10
    assert network.levels[1].width == 14
    assert network(torch.rand(1, 3, 4, 4)).shape == (1, 3, 32, 32)
    assert prosr(residual_scale=None, most_features=9).levels[0].width == 9


def test_prosr_blends_a_new_level_with_the_one_before() -> None:
    network, lr = prosr(), torch.rand(1, 3, 5, 6)
    features = network.subtract_mean(lr)
    features = network.upsample[0](network.levels[0](network.heads["x4"](features)))
    half = F.interpolate(network.tails["x2"](features), scale_factor=2, mode="bilinear", align_corners=True)
    base = bicubic_upsample(lr, scale=4)
    assert torch.allclose(network(lr, 4, blend=0.0), half + base, atol=1e-6)
    middle = (network(lr, 4, blend=0.0) + network(lr, 4)) / 2
    assert torch.allclose(network(lr, 4, blend=0.5), middle, atol=1e-6)
    with pytest.raises(UserError, match="without scale=1"):
        network(lr, 2, blend=0.5)


def test_prosr_needs_a_level_for_every_doubling() -> None:
    with pytest.raises(UserError, match=r"model\.levels has 2 levels, too few for scale=8"):
        prosr(levels=[[1], [1]])


# D-DBPN


def test_dbpn_projects_as_the_paper_writes_it() -> None:
    network = DBPN(2, Transposed, features=4, extracted=6, stages=3)
    up, down = network.ups[2], network.downs[1]
    lows, highs = torch.rand(1, 8, 3, 4), torch.rand(1, 8, 6, 8)
    low = up.fuse(lows)
    high = up.up(low)
    assert torch.equal(up(lows), high + up.up_error(up.down(high) - low))
    high = down.fuse(highs)
    low = down.down(high)
    assert torch.equal(down(highs), low + down.down_error(down.up(low) - high))


def test_dbpn_connects_densely() -> None:
    network, lr = DBPN(2, Transposed, features=4, extracted=6, stages=3), torch.rand(1, 3, 3, 4)
    first = network.ups[0](network.head(lr))
    low = network.downs[0](first)
    second = network.ups[1](low)
    highs = torch.cat([second, first], dim=1)
    lows = torch.cat([network.downs[1](highs), low], dim=1)
    highs = torch.cat([network.ups[2](lows), highs], dim=1)
    assert torch.equal(network(lr), network.tail(highs))


def test_dbpn_images_on_the_way_use_the_maps_that_there_are() -> None:
    network, lr = DBPN(2, Transposed, features=4, extracted=6, stages=3), torch.rand(1, 3, 3, 4)
    images, highs = network.outputs(lr), network.project(lr)
    assert len(images) == 3
    for stage, image in enumerate(images):
        known = highs.clone()
        known[:, : 4 * (2 - stage)] = 0  # the last stage's maps stand in front
        assert torch.allclose(image, network.tail(known), atol=1e-5)
    assert torch.allclose(images[-1], network(lr), atol=1e-5)


@pytest.mark.parametrize(("scale", "kernel"), [(2, 6), (3, 7), (4, 8), (8, 12)])
def test_dbpn_kernels_overlap_by_four_pixels(scale: int, kernel: int) -> None:
    network = DBPN(scale, lambda **place: Transposed(overlap=4, single_step=True, **place), features=2, stages=2)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.stride != (1, 1)]
    assert {layer.kernel_size for layer in layers} == {(kernel, kernel)}
    assert {layer.stride for layer in layers} == {(scale, scale)}
    assert {layer.padding for layer in layers} == {(2, 2)}
