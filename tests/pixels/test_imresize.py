"""MATLAB's imresize against MATLAB's own outputs, exact kernels, and the laws it must keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_experiments.data.images import read_image
from sr_experiments.degradations import bicubic_upsample, imresize
from sr_experiments.errors import UserError

KERNEL_X2 = torch.tensor([-3, -9, 29, 111, 111, 29, -9, -3], dtype=torch.float64) / 256
KERNEL_X3 = torch.tensor([-1, -2, 0, 9, 21, 27, 21, 9, 0, -2, -1], dtype=torch.float64) / 81
KERNEL_X4 = (
    torch.tensor([-7, -45, -75, -49, 93, 399, 745, 987, 987, 745, 399, 93, -49, -75, -45, -7], dtype=torch.float64)
    / 4096
)

CORNER = torch.tensor([[100, 1, 0, 100], [10, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)


def counting(side: int) -> torch.Tensor:
    return torch.arange(float(side * side), dtype=torch.float64).reshape(side, side)


MATLAB_INPUTS = {
    "down_down_small": counting(4),
    "down_down_x3": counting(15),
    "down_down_x5": counting(15),
    "up_up_topleft": CORNER,
    "up_up_bottomright": CORNER.flip(0, 1),
}
MATLAB_FILES = [
    "down_down_aa",
    "down_down_noaa",
    "down_down_irregular_aa",
    "down_down_irregular_noaa",
    "down_down_small_aa",
    "down_down_small_noaa",
    "down_down_x2_aa",
    "down_down_x3_aa",
    "down_down_x4_aa",
    "down_down_x5_aa",
    "down_down_butterfly_irregular_aa",
    "down_down_butterfly_irregular_noaa",
    "up_up_topleft_noaa",
    "up_up_bottomright_noaa",
    "up_up_irregular_aa",
    "up_up_irregular_noaa",
]


@pytest.mark.parametrize("name", MATLAB_FILES)
def test_equals_matlab(assets: Path, name: str) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    folder = assets / "reference/matlab_imresize"
    expected = torch.from_numpy(scipy_io.loadmat(folder / f"{name}.mat")[name])
    case, antialiasing = name.rsplit("_", 1)
    if "butterfly" in case:
        expected = expected.permute(2, 0, 1)
        image = torch.from_numpy(read_image(folder / "butterfly.png") / 255.0).permute(2, 0, 1)
    else:
        image = MATLAB_INPUTS.get(case, counting(8))

    size = (expected.shape[-2], expected.shape[-1])
    result = imresize(image, size=size, antialias=antialiasing == "aa", border="symmetric")

    torch.testing.assert_close(result, expected, rtol=0, atol=1e-10)


def test_every_matlab_file_is_tested(assets: Path) -> None:
    assert sorted(path.stem for path in (assets / "reference/matlab_imresize").glob("*.mat")) == sorted(MATLAB_FILES)


@pytest.mark.parametrize(("scale", "kernel"), [(2, KERNEL_X2), (3, KERNEL_X3), (4, KERNEL_X4)])
def test_interior_is_correlation_with_the_exact_kernel(scale: int, kernel: torch.Tensor) -> None:
    torch.manual_seed(0)
    line = torch.rand(24 * scale, dtype=torch.float64)
    result = imresize(line.expand(1, -1), size=(1, 24))[0]
    for k in range(4, 20):
        first = k * scale - (len(kernel) - scale) // 2
        torch.testing.assert_close(result[k], kernel @ line[first : first + len(kernel)], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("length", "out", "border", "expected"),
    [
        (8, 4, "symmetric", [0.449219, 2.488281, 4.511719, 6.550781]),
        (8, 4, "clamp", [0.507812, 2.488281, 4.511719, 6.492188]),
        (16, 4, "symmetric", [1.359863, 5.483887, 9.516113, 13.640137]),
        (16, 4, "clamp", [1.468506, 5.485596, 9.514404, 13.531494]),
        (4, 8, "symmetric", [-0.09375, 0.179688, 0.726562, 1.25, 1.75, 2.273438, 2.820312, 3.09375]),
    ],
)
def test_golden_ramps(length: int, out: int, border: str, expected: list[float]) -> None:
    ramp = torch.arange(float(length), dtype=torch.float64)
    across = imresize(ramp.expand(2, -1), size=(2, out), border=border)[1]
    down = imresize(ramp[:, None].expand(-1, 3), size=(out, 3), border=border)[:, 1]
    torch.testing.assert_close(across, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(down, across)


def direct_loop(line: np.ndarray, out: int, scale: float, border: str, antialias: bool) -> np.ndarray:
    """One axis by definition: 1-based coordinates and one pixel at a time, as MATLAB's documentation has it."""
    squeeze = scale if antialias and scale < 1 else 1.0
    result = np.zeros(out)
    for k in range(1, out + 1):
        centre = k / scale + 0.5 * (1 - 1 / scale)
        reach = int(np.ceil(2 / squeeze)) + 1
        total = weights = 0.0
        for j in range(int(centre) - reach, int(centre) + reach + 2):
            x = abs(centre - j) * squeeze
            w = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
            position = j
            if border == "clamp":
                position = min(max(j, 1), len(line))
            else:
                while not 1 <= position <= len(line):
                    position = 1 - position if position < 1 else 2 * len(line) + 1 - position
            total += w * line[position - 1]
            weights += w
        result[k - 1] = total / weights
    return result


@settings(max_examples=60)
@given(
    length=st.integers(1, 30),
    scale=st.floats(0.15, 5),
    border=st.sampled_from(["clamp", "symmetric"]),
    antialias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_direct_loop(length: int, scale: float, border: str, antialias: bool, seed: int) -> None:
    line = np.random.default_rng(seed).random(length)
    image = torch.from_numpy(line).expand(2, -1)
    result = imresize(image, scale=(1.0, scale), border=border, antialias=antialias)
    out = int(np.ceil(length * scale))
    assert result.shape == (2, out)
    np.testing.assert_allclose(result[0].numpy(), direct_loop(line, out, scale, border, antialias), atol=1e-9)


@settings(max_examples=25)
@given(
    scale=st.sampled_from([2, 3, 4]),
    rows=st.integers(0, 6),
    columns=st.integers(0, 6),
    rounding=st.sampled_from(["none", "per_axis", "final"]),
    seed=st.integers(0, 1000),
)
def test_crop_with_margin_equals_cut_of_the_whole(
    scale: int, rows: int, columns: int, rounding: str, seed: int
) -> None:
    margin = 2  # LR pixels whose kernel may reach over the edge of the crop
    image = torch.rand(1, 3, 18 * scale, 18 * scale, generator=torch.Generator().manual_seed(seed))
    whole = imresize(image, scale=1 / scale, rounding=rounding)
    crop = image[..., rows * scale : (rows + 12) * scale, columns * scale : (columns + 12) * scale]
    alone = imresize(crop, scale=1 / scale, rounding=rounding)
    inner = alone[..., margin:-margin, margin:-margin]
    cut = whole[..., rows + margin : rows + 12 - margin, columns + margin : columns + 12 - margin]
    torch.testing.assert_close(inner, cut, rtol=0, atol=0 if rounding != "none" else 1e-6)


@pytest.mark.parametrize("kernel", ["cubic", "linear", "lanczos3", "box"])
@pytest.mark.parametrize("border", ["clamp", "symmetric"])
@pytest.mark.parametrize("size", [(3, 40), (7, 7), (1, 1), (11, 5)])
def test_constant_stays_constant(kernel: str, border: str, size: tuple[int, int]) -> None:
    image = torch.full((2, 1, 9, 7), 0.3, dtype=torch.float64)
    result = imresize(image, size=size, kernel=kernel, border=border)
    torch.testing.assert_close(result, torch.full((2, 1, *size), 0.3, dtype=torch.float64))


def test_linear_kernel_keeps_a_ramp() -> None:
    ramp = torch.arange(40.0, dtype=torch.float64).expand(1, -1)
    result = imresize(ramp, size=(1, 80), kernel="linear")[0]
    torch.testing.assert_close(result[1:-1], torch.arange(0.25, 39, 0.5, dtype=torch.float64))


def test_same_size_is_identity() -> None:
    image = torch.rand(3, 6, 5)
    torch.testing.assert_close(imresize(image, scale=1.0), image, rtol=0, atol=1e-7)


def test_scale_rounds_the_output_size_up_and_differs_from_size() -> None:
    image = torch.rand(10, 10, dtype=torch.float64)
    by_scale = imresize(image, scale=1 / 3)
    by_size = imresize(image, size=(4, 4))
    assert by_scale.shape == by_size.shape
    assert (by_scale - by_size).abs().max() > 0.01


def test_axis_that_shrinks_most_goes_first() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 24, 24).mul(255).round() / 255
    result = imresize(image, size=(12, 6), rounding="per_axis")
    horizontal_first = imresize(imresize(image, size=(24, 6), rounding="final"), size=(12, 6), rounding="final")
    vertical_first = imresize(imresize(image, size=(12, 24), rounding="final"), size=(12, 6), rounding="final")
    assert torch.equal(result, horizontal_first)
    assert not torch.equal(result, vertical_first)


def test_rounding_goes_half_up() -> None:
    # Two gray levels whose mean is exactly half way: x2 with a linear kernel gives levels n + 0.5 inside.
    image = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7]], dtype=torch.float64) / 255
    levels = imresize(image, size=(1, 4), antialias=False, kernel="linear", rounding="final") * 255
    assert levels.round().tolist() == [[1, 3, 5, 7]]


def test_gradients_are_right() -> None:
    image = torch.rand(1, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: imresize(x, scale=1 / 3), image)
    assert torch.autograd.gradcheck(lambda x: imresize(x, size=(9, 11), border="symmetric"), image)


@pytest.mark.parametrize("rounding", ["per_axis", "final"])
def test_gradient_goes_straight_through_rounding(rounding: str) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 1, 16, 16, dtype=torch.float64) * 0.5 + 0.25
    rounded, smooth = (image.clone().requires_grad_() for _ in range(2))
    imresize(rounded, scale=0.25, rounding=rounding).sum().backward()
    imresize(smooth, scale=0.25, rounding="none").sum().backward()
    assert rounded.grad is not None
    assert rounded.grad.abs().sum() > 0
    torch.testing.assert_close(rounded.grad, smooth.grad)


def test_matrix_made_in_inference_mode_serves_training() -> None:
    with torch.inference_mode():
        imresize(torch.rand(1, 3, 23, 29), scale=0.5)
    image = torch.rand(1, 3, 23, 29, requires_grad=True)
    imresize(image, scale=0.5).sum().backward()
    assert image.grad is not None


def test_autocast_does_not_touch_it() -> None:
    image = torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = imresize(image, scale=0.25, rounding="per_axis")
    assert torch.equal(inside, imresize(image, scale=0.25, rounding="per_axis"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    assert imresize(torch.rand(3, 8, 8).to(dtype), scale=0.5, rounding="per_axis").dtype == dtype


def test_upsample_is_imresize_without_rounding() -> None:
    lr = torch.rand(2, 3, 5, 6)
    assert torch.equal(bicubic_upsample(lr, 4), imresize(lr, scale=4))
    assert torch.equal(bicubic_upsample(lr, size=(11, 13)), imresize(lr, size=(11, 13)))


@pytest.mark.parametrize(
    ("options", "names"),
    [({"kernel": "bicubic"}, "lanczos3"), ({"border": "reflect"}, "symmetric"), ({"rounding": True}, "per_axis")],
)
def test_unknown_option_names_the_valid_ones(options: dict[str, str], names: str) -> None:
    with pytest.raises(UserError, match=names):
        imresize(torch.rand(4, 4), scale=0.5, **options)


def test_wrong_calls() -> None:
    image = torch.rand(4, 4)
    with pytest.raises(ValueError, match="either scale or size"):
        imresize(image)
    with pytest.raises(ValueError, match="either scale or size"):
        imresize(image, scale=2, size=(8, 8))
    with pytest.raises(ValueError, match="positive"):
        imresize(image, size=(0, 4))
    with pytest.raises(TypeError, match="uint8"):
        imresize(torch.zeros(4, 4, dtype=torch.uint8), scale=2)
