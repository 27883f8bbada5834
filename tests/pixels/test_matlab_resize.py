"""The kinds of MATLAB's imresize beside bicubic, against closed forms and a direct loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sr_experiments.degradations import Bicubic, MatlabResize
from sr_experiments.errors import UserError

LEVELS = torch.Generator().manual_seed(0)
HR = torch.randint(0, 256, (2, 3, 48, 72), generator=LEVELS).double() / 255


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_area_is_the_mean_of_cells(scale: int) -> None:
    lr = MatlabResize(scale, "area", rounding="none")(HR)
    expected = HR.unflatten(-1, (-1, scale)).unflatten(-3, (-1, scale)).mean((-1, -3))
    torch.testing.assert_close(lr, expected)


@pytest.mark.parametrize(("scale", "pixel"), [(2, 1), (3, 1), (4, 2), (8, 4)])
def test_nearest_takes_the_pixel_in_the_middle(scale: int, pixel: int) -> None:
    assert torch.equal(MatlabResize(scale, "nearest")(HR), HR[..., pixel::scale, pixel::scale])


def weight(kernel: str, x: float) -> float:
    if kernel == "bilinear":
        return max(1 - abs(x), 0)
    return float(np.sinc(x) * np.sinc(x / 3)) if abs(x) < 3 else 0.0


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("kernel", ["bilinear", "lanczos"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_a_direct_loop(kernel: str, scale: int, antialias: bool) -> None:
    lr = MatlabResize(scale, kernel, rounding="none", antialias=antialias)(HR)
    stretch = scale if antialias else 1

    def shrunk(line: np.ndarray) -> np.ndarray:
        result = []
        for k in range(len(line) // scale):
            centre = k * scale + (scale - 1) / 2
            places = range(int(centre) - 3 * stretch - 1, int(centre) + 3 * stretch + 3)
            weights = np.array([weight(kernel, (centre - place) / stretch) for place in places])
            values = np.array([line[min(max(place, 0), len(line) - 1)] for place in places])
            result.append(float(weights @ values / weights.sum()))
        return np.array(result)

    one = HR[1, 2].numpy()
    expected = np.apply_along_axis(shrunk, 1, np.apply_along_axis(shrunk, 0, one))
    np.testing.assert_allclose(lr[1, 2].numpy(), expected, atol=1e-12)


def test_bicubic_is_one_of_them() -> None:
    assert torch.equal(MatlabResize(3)(HR), Bicubic(3)(HR))


def test_gradient_reaches_hr() -> None:
    hr = HR.clone().requires_grad_()
    MatlabResize(4, "lanczos")(hr).square().sum().backward()
    assert hr.grad is not None
    assert (hr.grad != 0).double().mean() > 0.9


def test_unknown_kernel_is_explained() -> None:
    with pytest.raises(UserError, match="nearest, bilinear, bicubic, lanczos, area"):
        MatlabResize(4, "hermite")
