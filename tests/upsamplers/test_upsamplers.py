"""Upsamplers against direct loops, and what ICNR is for."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.upsamplers import (
    Carafe,
    DySample,
    Interpolation,
    MetaUpscale,
    ResizeConv,
    SubPixel,
    Transposed,
    Upsampler,
)
from sr_experiments.upsamplers.base import in_stages

SCALES = [2, 3, 4, 6, 8]
LEARNED: dict[str, Any] = {
    "subpixel": SubPixel,
    "subpixel_single_step": partial(SubPixel, single_step=True),
    "subpixel_icnr": partial(SubPixel, icnr=True),
    "nearest_conv": partial(ResizeConv, mode="nearest"),
    "bilinear_conv": partial(ResizeConv, mode="bilinear"),
    "transposed": Transposed,
    "transposed_9x9": partial(Transposed, kernel=9, single_step=True),
    "transposed_overlap": partial(Transposed, overlap=4, single_step=True),
    "transposed_tiles": partial(Transposed, overlap=0),
    "subpixel_grouped": partial(SubPixel, groups=2),
    "carafe": partial(Carafe, hidden=4),
    "dysample": partial(DySample, groups=2),
}


@pytest.fixture(params=LEARNED)
def learned(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return LEARNED[request.param]


def interior(x: Tensor, scale: int, border: int = 3) -> Tensor:
    """Without what the padding reached: `border` LR pixels a side."""
    cut = border * scale
    return x[..., cut:-cut, cut:-cut]


def unevenness(x: Tensor) -> float:
    """The largest spread of the values of one channel."""
    return float((x.amax((-2, -1)) - x.amin((-2, -1))).max().detach())


def factors(upsampler: Upsampler) -> list[int]:
    """The enlargement of each stage."""
    found = []
    for layer in upsampler.modules():
        if isinstance(layer, nn.PixelShuffle):
            found.append(layer.upscale_factor)
        elif isinstance(layer, nn.Upsample):
            found.append(int(layer.scale_factor))
        elif isinstance(layer, nn.ConvTranspose2d):
            found.append(layer.stride[0])
    return found


# shapes and stages


@pytest.mark.parametrize("scale", SCALES)
def test_sizes_and_channels(learned: Any, scale: int) -> None:
    x = torch.rand(2, 4, 5, 7)
    assert learned(channels=4, scale=scale)(x).shape == (2, 4, 5 * scale, 7 * scale)
    assert learned(channels=4, scale=scale, out_channels=3)(x).shape == (2, 3, 5 * scale, 7 * scale)
    assert learned(channels=4, scale=scale).learned


@pytest.mark.parametrize(("scale", "expected"), [(2, [2]), (3, [3]), (4, [2, 2]), (6, [6]), (8, [2, 2, 2])])
def test_powers_of_two_are_reached_by_doubling(scale: int, expected: list[int]) -> None:
    for make in (SubPixel, ResizeConv, Transposed):
        assert factors(make(channels=2, scale=scale)) == expected
    assert factors(SubPixel(channels=2, scale=scale, single_step=True)) == [scale]


@pytest.mark.parametrize(("scale", "stages"), [(2, 1), (3, 1), (4, 2), (8, 3)])
def test_an_activation_of_its_own_follows_every_stage_that_keeps_the_features(
    learned: Any, scale: int, stages: int
) -> None:
    if getattr(learned, "keywords", {}).get("single_step"):
        stages = 1

    def activations(**place: Any) -> list[nn.Module]:
        upsampler = learned(channels=2, scale=scale, activation=nn.PReLU, **place)
        return [layer for layer in upsampler.modules() if isinstance(layer, nn.PReLU)]

    kept = activations()
    assert len(kept) == stages
    assert len({id(layer) for layer in kept}) == stages
    assert len(activations(out_channels=3)) == stages - 1  # the last stage makes the image
    assert isinstance(list(learned(channels=2, scale=scale, activation=nn.PReLU).layers)[-1], nn.PReLU)


@pytest.mark.parametrize("scale", [2.5, 1, 0, -2, 0.5])
def test_a_scale_that_no_learned_upsampler_has_is_refused(learned: Any, scale: float) -> None:
    with pytest.raises(UserError, match=f"an integer of at least 2, not by scale={scale}"):
        learned(channels=2, scale=scale)


def test_a_whole_number_written_as_float_is_accepted() -> None:
    assert SubPixel(channels=2, scale=2.0)(torch.rand(1, 2, 3, 3)).shape == (1, 2, 6, 6)  # type: ignore[arg-type]


def test_stages_are_asked_for_in_order() -> None:
    asked: list[tuple[int, int, int]] = []

    def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
        asked.append((channels_in, channels_out, factor))
        return [nn.Identity()]

    in_stages(stage, channels=16, scale=8, out_channels=3, activation=None)
    assert asked == [(16, 16, 2), (16, 16, 2), (16, 3, 2)]


def test_an_upsampler_must_say_how_it_enlarges() -> None:
    class Nothing(Upsampler):
        learned = True

    with pytest.raises(TypeError, match=r"Nothing does not say how it enlarges"):
        Nothing(2)(torch.rand(1, 1, 2, 2))


# what they compute


def test_subpixel_equals_a_direct_loop() -> None:
    torch.manual_seed(0)
    upsampler = SubPixel(channels=2, scale=3, out_channels=4)
    x = torch.rand(1, 2, 4, 5)
    maps, result = upsampler.layers[0](x), upsampler(x)
    for channel in range(4):
        for row in range(12):
            for column in range(15):
                source = channel * 9 + (row % 3) * 3 + column % 3
                assert result[0, channel, row, column] == maps[0, source, row // 3, column // 3]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_resize_conv_equals_its_two_steps(mode: str) -> None:
    upsampler = ResizeConv(channels=2, scale=3, mode=mode)
    x = torch.rand(1, 2, 4, 5)
    if mode == "nearest":
        resized = x.repeat_interleave(3, -2).repeat_interleave(3, -1)
    else:
        resized = F.interpolate(x, size=(12, 15), mode="bilinear", align_corners=False)
    conv = upsampler.layers[1]
    assert torch.allclose(upsampler(x), F.conv2d(resized, conv.weight, conv.bias, padding=1), atol=1e-6)


def test_resize_conv_refuses_another_mode() -> None:
    with pytest.raises(UserError, match=r"upsampler\.mode=bicubic is unknown: use nearest or bilinear"):
        ResizeConv(channels=2, scale=2, mode="bicubic")


@pytest.mark.parametrize(("scale", "kernels"), [(2, [4]), (3, [9]), (4, [4, 4]), (5, [15]), (6, [12]), (8, [4, 4, 4])])
def test_transposed_kernels_are_multiples_of_their_stride(scale: int, kernels: list[int]) -> None:
    layers = [m for m in Transposed(channels=2, scale=scale).modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [layer.kernel_size for layer in layers] == [(k, k) for k in kernels]
    for layer in layers:
        assert layer.kernel_size[0] % layer.stride[0] == 0
        # As many pixels stick out on the left as on the right: the result is centred.
        assert 2 * layer.padding[0] == layer.kernel_size[0] - layer.stride[0]


@pytest.mark.parametrize("scale", [2, 3])
def test_transposed_equals_a_direct_loop(scale: int) -> None:
    torch.manual_seed(0)
    upsampler = Transposed(channels=2, scale=scale, out_channels=1)
    layer = upsampler.layers[0]
    x = torch.rand(1, 2, 3, 4)
    kernel, padding = layer.kernel_size[0], layer.padding[0]
    full = torch.zeros(2 * scale + kernel, 3 * scale + kernel)
    for row in range(3):
        for column in range(4):
            painted = (x[0, :, row, column, None, None] * layer.weight[:, 0]).sum(0)
            full[row * scale : row * scale + kernel, column * scale : column * scale + kernel] += painted
    expected = full[padding : padding + 3 * scale, padding : padding + 4 * scale] + layer.bias
    assert torch.allclose(upsampler(x)[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_transposed_overlaps_evenly(scale: int) -> None:
    upsampler = Transposed(channels=1, scale=scale)
    overlaps = 1
    for layer in upsampler.layers:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        overlaps *= (layer.kernel_size[0] // layer.stride[0]) ** 2
    result = interior(upsampler(torch.ones(1, 1, 9, 9)), scale)
    assert torch.equal(result, torch.full_like(result, overlaps))


# constant in, constant out


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_resize_conv_keeps_a_constant_constant(mode: str, scale: int) -> None:
    result = ResizeConv(channels=4, scale=scale, mode=mode)(torch.full((1, 4, 9, 9), 0.7))
    assert unevenness(interior(result, scale)) < 1e-5


@pytest.mark.parametrize("single_step", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_icnr_has_no_checkerboard(scale: int, single_step: bool) -> None:
    torch.manual_seed(0)
    make = partial(SubPixel, channels=4, scale=scale, single_step=single_step)
    x = torch.full((1, 4, 9, 9), 0.7)
    assert unevenness(interior(make(icnr=True)(x), scale)) < 1e-6
    assert unevenness(interior(make(icnr=False)(x), scale)) > 0.05


@pytest.mark.parametrize("scale", [2, 3])
def test_icnr_starts_as_convolution_and_nearest_enlargement(scale: int) -> None:
    torch.manual_seed(0)
    upsampler = SubPixel(channels=4, scale=scale, icnr=True)
    conv, x = upsampler.layers[0], torch.rand(1, 4, 5, 6)
    small = F.conv2d(x, conv.weight[:: scale**2], conv.bias[:: scale**2], padding=1)
    expected = small.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    assert torch.allclose(upsampler(x), expected, atol=1e-6)
    assert conv.weight[:: scale**2].std() > 0.05  # channels differ as ever


def test_icnr_learns_checkerboards_like_any_other() -> None:
    upsampler = SubPixel(channels=2, scale=2, icnr=True)
    (upsampler(torch.rand(1, 2, 4, 4)) * torch.rand(1, 2, 8, 8)).sum().backward()
    gradient = upsampler.layers[0].weight.grad
    assert gradient is not None
    assert not torch.equal(gradient[0], gradient[1])


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_interpolation_has_no_weights_and_keeps_constants_and_ramps(scale: int) -> None:
    upsampler = Interpolation(channels=2, scale=scale)
    assert not upsampler.learned
    assert list(upsampler.parameters()) == []
    constant = upsampler(torch.full((1, 2, 6, 5), 0.3))
    assert torch.allclose(constant, torch.full((1, 2, 6 * scale, 5 * scale), 0.3), atol=1e-6)
    ramp = torch.arange(12.0).expand(1, 2, 9, 12)
    expected = (torch.arange(12.0 * scale) + 0.5) / scale - 0.5
    result = interior(upsampler(ramp), scale)
    assert torch.allclose(result, expected[3 * scale : -3 * scale].expand_as(result), atol=1e-5)


# options of transposed convolution and of sub-pixel convolution


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_transposed_of_a_given_kernel_is_centred_on_the_first_pixel(scale: int) -> None:
    upsampler = Transposed(channels=1, scale=scale, kernel=9, single_step=True)
    (layer,) = upsampler.layers
    nn.init.zeros_(layer.weight)
    layer.weight.data[0, 0, 4, 4] = 1
    nn.init.zeros_(layer.bias)
    x = torch.rand(1, 1, 4, 5)
    assert torch.equal(upsampler(x)[..., ::scale, ::scale], x)
    assert upsampler(x).count_nonzero() == x.numel()
    assert (layer.padding, layer.output_padding) == ((4, 4), (scale - 1, scale - 1))


def test_transposed_without_overlap_paints_tiles() -> None:
    upsampler = Transposed(channels=1, scale=3, overlap=0)
    (layer,) = upsampler.layers
    x = torch.rand(1, 1, 2, 2)
    expected = torch.kron(x[0, 0], layer.weight[0, 0]) + layer.bias
    assert torch.allclose(upsampler(x)[0, 0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 3, "overlap": 2}, "give one of them"),
        ({"overlap": 1}, "overlap=1 must be an even number"),
        ({"overlap": -2}, "overlap=-2 must be an even number"),
        ({"kernel": 3, "single_step": True}, "kernel=3 leaves holes where a step enlarges by 4"),
    ],
)
def test_transposed_refuses_kernels_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Transposed(channels=1, scale=4, **options)


def test_grouped_subpixel_keeps_groups_apart_except_for_an_image() -> None:
    upsampler, x = SubPixel(channels=4, scale=2, groups=2), torch.rand(1, 4, 3, 3)
    changed = x.clone()
    changed[:, 2:] += 1
    same = (upsampler(x) == upsampler(changed)).all(-1).all(-1)
    assert same.tolist() == [[True, True, False, False]]
    assert SubPixel(channels=4, scale=2, groups=2, out_channels=3).layers[0].groups == 1
    for groups in (3, 0):
        with pytest.raises(UserError, match=f"groups={groups} must divide the 4 channels"):
            SubPixel(channels=4, scale=2, groups=groups)


# meta-upscale


@pytest.mark.parametrize("scale", [1, 1.1, 1.5, 2, 2.7, 3, 4])
def test_meta_upscale_equals_a_direct_loop(scale: float) -> None:
    torch.manual_seed(0)
    upsampler = MetaUpscale(channels=2, scale=scale, out_channels=3, hidden=5).double()
    x = torch.rand(2, 2, 11, 10, dtype=torch.float64)
    padded, result = F.pad(x, (1, 1, 1, 1)), upsampler(x)
    tenth = round(10 * scale)
    height, width = 11 * tenth // 10, 10 * tenth // 10
    assert result.shape == (2, 3, height, width)
    for row in range(height):
        for column in range(width):
            top, left = 10 * row // tenth, 10 * column // tenth
            place = torch.tensor([1 / scale, row / scale - top, column / scale - left], dtype=torch.float64)
            filters = upsampler.predict(place).view(2, 3, 3, 3)
            expected = torch.einsum("bcyx,cyxo->bo", padded[:, :, top : top + 3, left : left + 3], filters)
            assert torch.allclose(result[:, :, row, column], expected, atol=1e-5)


def test_meta_upscale_enlarges_by_another_number_with_the_same_weights() -> None:
    torch.manual_seed(0)
    upsampler, x = MetaUpscale(channels=2, scale=2, hidden=5), torch.rand(1, 2, 10, 10)
    other = MetaUpscale(channels=2, scale=3.3, hidden=5)
    other.load_state_dict(upsampler.state_dict())
    assert torch.equal(upsampler(x, 3.3), other(x))
    assert upsampler(x, 3.3).shape == (1, 2, 33, 33)
    with pytest.raises(UserError, match=r"at least 1, not by scale=0\.9"):
        upsampler(x, 0.9)


def test_meta_upscale_activates_features_and_not_images() -> None:
    features = MetaUpscale(channels=2, scale=2, activation=nn.ReLU)
    assert features(torch.randn(1, 2, 5, 5)).min() == 0
    assert isinstance(MetaUpscale(channels=2, scale=2, out_channels=2, activation=nn.ReLU).activation, nn.Identity)


# content-aware reassembly


@pytest.mark.parametrize("scale", [2, 3])
def test_carafe_equals_a_direct_loop(scale: int) -> None:
    torch.manual_seed(0)
    upsampler = Carafe(channels=2, scale=scale, hidden=4, kernel=3).double()
    reassembly = upsampler.layers[0]
    x = torch.rand(1, 2, 4, 5, dtype=torch.float64)
    hidden = F.conv2d(x, reassembly.compress.weight, reassembly.compress.bias)
    numbers = F.conv2d(hidden, reassembly.encode.weight, reassembly.encode.bias, padding=1)[0]
    padded, result = F.pad(x, (1, 1, 1, 1)), reassembly(x)
    assert result.shape == (1, 2, 4 * scale, 5 * scale)
    for row in range(4 * scale):
        for column in range(5 * scale):
            top, left = row // scale, column // scale
            phase = row % scale * scale + column % scale
            weights = numbers.view(9, scale**2, 4, 5)[:, phase, top, left].softmax(0).view(3, 3)
            expected = (padded[0, :, top : top + 3, left : left + 3] * weights).sum((1, 2))
            assert torch.allclose(result[0, :, row, column], expected)
    conv = upsampler.layers[1]
    assert torch.allclose(upsampler(x), F.conv2d(result, conv.weight, conv.bias, padding=1))


def test_carafe_has_the_layers_of_the_paper() -> None:
    shapes = [tuple(p.shape) for p in Carafe(channels=256, scale=2).layers[0].parameters()]
    assert shapes == [(64, 256, 1, 1), (64,), (100, 64, 3, 3), (100,)]


def test_carafe_keeps_a_constant_inside_and_refuses_even_kernels() -> None:
    torch.manual_seed(0)
    reassembly = Carafe(channels=2, scale=2, hidden=4).layers[0]
    result = interior(reassembly(torch.full((1, 2, 9, 9), 0.7)), 2)
    assert torch.allclose(result, torch.full_like(result, 0.7))
    with pytest.raises(UserError, match="kernel=4 must be an odd number"):
        Carafe(channels=2, scale=2, kernel=4)
    with pytest.raises(UserError, match="encoder_kernel=0 must be an odd number"):
        Carafe(channels=2, scale=2, encoder_kernel=0)


# sampling at learned points


def bilinear_at(image: Tensor, x: float, y: float) -> Tensor:
    """One point of (C, H, W), pixel centres at halves, the last pixel repeated beyond the border."""
    height, width = image.shape[-2:]
    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - left, y - top
    upper = image[:, top, left] * (1 - a) + image[:, top, left + 1] * a
    return upper * (1 - b) + (image[:, top + 1, left] * (1 - a) + image[:, top + 1, left + 1] * a) * b


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("scale", [2, 3])
def test_dysample_equals_a_direct_loop(scale: int, dynamic: bool) -> None:
    torch.manual_seed(0)
    sampling = DySample(channels=4, scale=scale, groups=2, dynamic=dynamic).double().layers[0]
    nn.init.normal_(sampling.offset.weight)
    nn.init.normal_(sampling.offset.bias)
    if dynamic:
        nn.init.normal_(sampling.scope.weight)
    x = torch.rand(2, 4, 3, 5, dtype=torch.float64)
    result = sampling(x)
    for sample in range(2):
        numbers = torch.einsum("oc,chw->ohw", sampling.offset.weight[:, :, 0, 0], x[sample])
        numbers = numbers + sampling.offset.bias[:, None, None]
        if dynamic:
            numbers = numbers * torch.einsum("oc,chw->ohw", sampling.scope.weight[:, :, 0, 0], x[sample]).sigmoid() / 2
        else:
            numbers = numbers / 4
        numbers = numbers.view(2, 2, scale, scale, 3, 5)  # x or y, group, phase down, phase across
        for row in range(3 * scale):
            for column in range(5 * scale):
                top, left, down, across = row // scale, column // scale, row % scale, column % scale
                for group in range(2):
                    moved = numbers[:, group, down, across, top, left].tolist()
                    point = ((column + 0.5) / scale + moved[0], (row + 0.5) / scale + moved[1])
                    expected = bilinear_at(x[sample, 2 * group : 2 * group + 2], *point)
                    assert torch.allclose(result[sample, 2 * group : 2 * group + 2, row, column], expected)


@pytest.mark.parametrize("scale", [2, 3, 5])
def test_dysample_starts_as_bilinear_enlargement(scale: int) -> None:
    sampling = DySample(channels=4, scale=scale).layers[0]
    nn.init.zeros_(sampling.offset.weight)
    x = torch.rand(1, 4, 5, 6)
    expected = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    assert torch.allclose(sampling(x), expected, atol=1e-5)


def test_dysample_refuses_groups_that_do_not_divide() -> None:
    with pytest.raises(UserError, match="groups=4 must divide the 6 channels"):
        DySample(channels=6, scale=2)


@pytest.mark.parametrize("name", ["carafe", "dysample"])
def test_modern_upsamplers_have_gradients_everywhere(name: str) -> None:
    torch.manual_seed(0)
    upsampler = LEARNED[name](channels=4, scale=4, out_channels=3, activation=nn.PReLU)
    (upsampler(torch.rand(1, 4, 5, 6)) * torch.rand(1, 3, 20, 24)).sum().backward()
    for key, parameter in upsampler.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key
