"""Blur kernels against closed forms and scipy, and SRMD's degradation with what it tells a network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from sr_experiments.degradations import BlurNoise
from sr_experiments.degradations.blur import blur, continued, gaussian_kernels, sinc_kernels
from sr_experiments.errors import UserError
from sr_experiments.pixels.imresize import imresize

KEYS = torch.tensor([5, 17, 1 << 55])
NUMPY_PADDING = {"clamp": "edge", "symmetric": "symmetric", "mirror": "reflect", "wrap": "wrap"}
SCIPY_MODES = {"clamp": "nearest", "symmetric": "reflect", "mirror": "mirror", "wrap": "wrap"}


def one(value: float) -> torch.Tensor:
    return torch.tensor([value])


@pytest.mark.parametrize("form", ["gaussian", "generalised", "plateau"])
def test_kernels_equal_the_formula(form: str) -> None:
    sigma_1, sigma_2, angle, beta = 2.5, 1.2, 0.7, 1.7
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sigma_1**2, sigma_2**2]) @ turn.T)
    expected = np.zeros((9, 9))
    for row in range(9):
        for column in range(9):
            place = np.array([column - 4, row - 4])
            distance = place @ inverse @ place
            if form == "gaussian":
                expected[row, column] = math.exp(-distance / 2)
            elif form == "generalised":
                expected[row, column] = math.exp(-(distance**beta) / 2)
            else:
                expected[row, column] = 1 / (1 + distance**beta)
    kernel = gaussian_kernels(9, one(sigma_1), one(sigma_2), one(angle), form, beta)[0]
    np.testing.assert_allclose(kernel.numpy(), expected / expected.sum(), atol=1e-7)


def test_a_very_narrow_kernel_is_one_pixel() -> None:
    kernel = gaussian_kernels(7, one(1e-3), one(1e-3), one(0.0))[0]
    assert float(kernel[3, 3]) == 1


def test_sinc_kernel_equals_the_formula_of_the_paper() -> None:
    cutoff = 1.9
    radius = np.hypot(*np.meshgrid(np.arange(13) - 6, np.arange(13) - 6))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = cutoff * special.j1(cutoff * radius) / (2 * np.pi * radius)
    expected[6, 6] = cutoff**2 / (4 * np.pi)
    np.testing.assert_allclose(sinc_kernels(13, one(cutoff))[0].numpy(), expected / expected.sum(), atol=1e-7)


@pytest.mark.parametrize("border", NUMPY_PADDING)
def test_images_are_continued_as_numpy_does(border: str) -> None:
    image = torch.rand(1, 2, 4, 5)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (9, 11), (9, 11)), mode=NUMPY_PADDING[border])
    assert torch.equal(continued(image, 9, 11, border), torch.from_numpy(expected))


@pytest.mark.parametrize("border", NUMPY_PADDING)
@pytest.mark.parametrize("size", [5, 21])
def test_blur_equals_scipy(size: int, border: str) -> None:
    images, kernels = torch.rand(2, 3, 12, 15, dtype=torch.float64), torch.rand(2, size, size, dtype=torch.float64)
    result = blur(images, kernels, border)
    for image, kernel, ours in zip(images, kernels, result, strict=True):
        expected = ndimage.correlate(image.numpy(), kernel[None].numpy(), mode=SCIPY_MODES[border])
        np.testing.assert_allclose(ours.numpy(), expected, atol=1e-10)


def test_srmd_is_blur_then_bicubic_then_noise() -> None:
    degrade = BlurNoise(3, noise=0, rounding="none")
    hr = torch.rand(3, 3, 36, 45, dtype=torch.float64)
    kernels = degrade.kernels(KEYS)
    blurred = [
        ndimage.convolve(image.numpy(), kernel[None].numpy(), mode="wrap")
        for image, kernel in zip(hr, kernels, strict=True)
    ]
    expected = imresize(torch.from_numpy(np.stack(blurred)), scale=1 / 3)
    torch.testing.assert_close(degrade(hr, KEYS), expected)


def test_drawn_numbers_are_those_that_are_applied() -> None:
    degrade = BlurNoise(2, noise=[10, 40])
    drawn = degrade.drawn(torch.arange(400))
    assert ((drawn["sigma_1"] >= 0.2) & (drawn["sigma_1"] <= 2)).all()
    isotropic = (drawn["sigma_1"] == drawn["sigma_2"]) & (drawn["angle"] == 0)
    assert 0.4 < float(isotropic.double().mean()) < 0.6
    noisy = degrade(torch.full((3, 3, 128, 128), 0.5), KEYS)
    torch.testing.assert_close(noisy.std(dim=(1, 2, 3)).double() * 255, degrade.drawn(KEYS)["noise"], rtol=0.05, atol=0)


def test_a_network_is_told_kernel_and_noise() -> None:
    degrade = BlurNoise(4)
    told = degrade.extras(KEYS)["degradation_map"]
    assert told.shape == (3, 16)
    torch.testing.assert_close(told[:, 15].double() * 255, degrade.drawn(KEYS)["noise"], rtol=0, atol=1e-4)
    basis = degrade.basis
    torch.testing.assert_close(basis @ basis.T, torch.eye(15, dtype=torch.float64))
    # The coefficients describe the kernel: hardly anything of it lies outside of the basis.
    keys = torch.arange(200)
    kernels = degrade.kernels(keys).flatten(1)
    again = degrade.extras(keys)["degradation_map"][:, :15].double() @ basis
    assert (kernels - again).square().sum() < 0.01 * kernels.square().sum()


def test_a_network_that_saw_many_widths_can_be_told_one() -> None:
    trained, tested = BlurNoise(4), BlurNoise(4, sigma=1.7, anisotropic=0, noise=25)
    expected = tested.extras(KEYS[:1])["degradation_map"]
    torch.testing.assert_close(trained.map_of(1.7, 25), expected)
    none = BlurNoise(4, sigma=1e-3, anisotropic=0, noise=0)
    torch.testing.assert_close(trained.map_of(), none.extras(KEYS[:1])["degradation_map"])
    assert not torch.allclose(trained.map_of(), expected)
    with pytest.raises(UserError, match="trained for a blur from 0 to 4, not 5"):
        trained.map_of(5)
    with pytest.raises(UserError, match="trained for a blur from 1 to 2, not 0"):
        BlurNoise(4, sigma=[1, 2]).map_of()
    with pytest.raises(UserError, match="trained for a noise from 0 to 75, not 80"):
        trained.map_of(1, 80)


def test_the_basis_is_no_part_of_checkpoints() -> None:
    assert BlurNoise(2).state_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "size is 8"),
        ({"sigma": [2, 1]}, r"sigma is \[2, 1\]"),
        ({"components": 226}, "15x15 has 1 to 225"),
        ({"border": "reflect"}, "clamp, symmetric, mirror, wrap"),
        ({"rounding": "per_axis"}, "final, none"),
        ({"noise": -1}, "noise is -1"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BlurNoise(2, **options)


def test_kernel_larger_than_the_crop_is_refused() -> None:
    with pytest.raises(UserError, match=r"kernel of 15x15 pixels is larger than the crop of 14x20"):
        BlurNoise(2)(torch.rand(1, 3, 14, 20))
