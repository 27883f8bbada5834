"""BD: Gaussian blur and subsampling, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from sr_experiments.degradations import GaussianSubsample
from sr_experiments.errors import UserError

BD_WEIGHTS = [0.044147, 0.117223, 0.210611, 0.256038, 0.210611, 0.117223, 0.044147]


def matlab_kernel(size: int, sigma: float) -> np.ndarray:
    line = np.arange(size) - (size - 1) / 2
    kernel = np.exp(-(line[:, None] ** 2 + line**2) / (2 * sigma**2))
    return kernel / kernel.sum()


@pytest.mark.parametrize(("scale", "size"), [(2, 12), (3, 7), (4, 12), (5, 11), (8, 12)])
def test_equals_blur_then_subsampling(scale: int, size: int) -> None:
    hr = torch.rand(2, 3, 8 * scale, 6 * scale, dtype=torch.float64)
    degrade = GaussianSubsample(scale, rounding="none")
    assert degrade.size == size
    # MATLAB's imfilter centres an even kernel on its pixel number size / 2, counted from 1.
    origin = 0 if size % 2 else -1
    blurred = ndimage.correlate(
        hr.numpy(), matlab_kernel(size, 1.6)[None, None], mode="nearest", origin=(0, 0, origin, origin)
    )
    first = (scale - 1) // 2 if scale % 2 else scale // 2 - 1
    np.testing.assert_allclose(degrade(hr).numpy(), blurred[..., first::scale, first::scale], atol=1e-12)


def test_bd_has_the_weights_of_the_papers() -> None:
    impulse = torch.zeros(1, 1, 9, 63, dtype=torch.float64)
    impulse[..., 28] = 1  # the centre of a cell
    others = [GaussianSubsample(3, rounding="none")(impulse.roll(shift, -1))[0, 0, 1, 9] for shift in range(-3, 4)]
    np.testing.assert_allclose([float(value) for value in others], BD_WEIGHTS, atol=1e-6)


def test_result_is_rounded_and_batch_equals_one_by_one() -> None:
    hr = torch.rand(3, 3, 33, 30)
    degrade = GaussianSubsample(3)
    lr = degrade(hr, key=torch.arange(3))
    assert lr.shape == (3, 3, 11, 10)
    torch.testing.assert_close(lr * 255, (lr * 255).round(), rtol=0, atol=1e-4)
    assert torch.equal(lr, torch.cat([degrade(image[None]) for image in hr]))


def test_width_grows_with_the_scale_where_none_is_given() -> None:
    assert GaussianSubsample(4, sigma=None).sigma == pytest.approx(1.6)
    assert GaussianSubsample(2, sigma=None).sigma == pytest.approx(0.8)


def test_gradient_goes_straight_through() -> None:
    hr = torch.rand(1, 1, 30, 30, requires_grad=True)
    GaussianSubsample(3)(hr).sum().backward()
    assert hr.grad is not None
    torch.testing.assert_close(hr.grad.sum(), torch.tensor(100.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 2.5}, "scale is 2.5; Gaussian blur with subsampling needs a whole number"),
        ({"scale": 3, "sigma": 0}, "sigma is 0"),
        ({"scale": 3, "size": 0}, "size is 0"),
        ({"scale": 3, "rounding": "per_axis"}, "final, none"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GaussianSubsample(**options)


def test_kernel_larger_than_the_crop_is_refused() -> None:
    with pytest.raises(UserError, match=r"kernel of 7x7 pixels is larger than the crop of 6x30"):
        GaussianSubsample(3)(torch.rand(1, 3, 6, 30))
