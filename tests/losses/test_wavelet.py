"""The wavelet term against closed forms: wavelet packets of Haar are the Hadamard transform of squares of pixels."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import hadamard
from torch import Tensor

from sr_experiments.errors import UserError
from sr_experiments.losses import MSE, Wavelet


def pair(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(height)
    shape = (2, channels, height, width)
    return torch.rand(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 3)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_with_equal_weights_it_is_the_mse(levels: int, size: tuple[int, int]) -> None:
    sr, hr = pair(3, *size)
    torch.testing.assert_close(Wavelet(levels, low=1.0, high=1.0)(sr, hr), MSE()(sr, hr))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_against_the_hadamard_transform_of_every_square(levels: int) -> None:
    sr, hr = pair(2, 16, 24)
    side = 2**levels
    transform = torch.from_numpy(hadamard(side) / side**0.5).double()
    low = high = 0.0
    for image in sr - hr:
        for channel in image:
            for top in range(0, 16, side):
                for left in range(0, 24, side):
                    square = channel[top : top + side, left : left + side]
                    coefficients = (transform @ square @ transform.T) ** 2
                    low += float(coefficients[0, 0])
                    high += float(coefficients.sum() - coefficients[0, 0])
    assert float(Wavelet(levels, low=1, high=0)(sr, hr)) == pytest.approx(low / sr.numel())
    assert float(Wavelet(levels, low=0, high=1)(sr, hr)) == pytest.approx(high / sr.numel())
    assert float(Wavelet(levels)(sr, hr)) == pytest.approx((0.01 * low + 0.99 * high) / sr.numel())


def test_another_brightness_costs_little_and_other_details_much() -> None:
    hr = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    stripes = 0.1 * (1 - 2 * (torch.arange(8) % 2)).double().expand(1, 1, 8, 8)
    assert float(Wavelet()(hr + 0.1, hr)) == pytest.approx(0.01 * 0.1**2)
    assert float(Wavelet()(hr + stripes, hr)) == pytest.approx(0.99 * 0.1**2)


def test_gradients() -> None:
    sr, hr = pair(2, 5, 6)
    assert torch.autograd.gradcheck(Wavelet(), (sr.requires_grad_(), hr))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UserError, match="at least one level, not levels=0"):
        Wavelet(levels=0)
    with pytest.raises(UserError, match="must not be negative, but are low=-1, high=2"):
        Wavelet(low=-1, high=2)
