"""Total variation of figures whose variation is known, and against a direct loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sr_experiments.errors import UserError
from sr_experiments.losses import TotalVariation

KINDS = ["anisotropic", "isotropic"]


def total(image: Tensor, kind: str) -> float:
    """The variation of one image, added up."""
    return TotalVariation(kind, reduction="sum")(image).item()


def by_loop(image: Tensor, kind: str) -> float:
    channels, height, width = image.shape
    found = 0.0
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                dx = float(image[c, y, x + 1] - image[c, y, x]) if x + 1 < width else 0.0
                dy = float(image[c, y + 1, x] - image[c, y, x]) if y + 1 < height else 0.0
                found += abs(dx) + abs(dy) if kind == "anisotropic" else math.hypot(dx, dy)
    return found


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_is_zero_with_a_finite_gradient(kind: str, reduction: str) -> None:
    image = torch.full((2, 3, 5, 6), 0.3, requires_grad=True)
    loss = TotalVariation(kind, reduction)(image)
    loss.backward()
    assert loss.item() == 0
    assert image.grad is not None
    assert not image.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_unit_step_is_the_length_of_its_edge(kind: str) -> None:
    upright, lying = torch.zeros(1, 1, 7, 9), torch.zeros(1, 1, 7, 9)
    upright[..., 4:] = 1
    lying[..., 3:, :] = 1
    assert total(upright, kind) == 7
    assert total(lying, kind) == 9
    assert total(upright.expand(1, 3, 7, 9), kind) == 21


def test_square_is_its_outline() -> None:
    square = torch.zeros(1, 1, 8, 8)
    square[..., 2:5, 3:7] = 1
    assert total(square, "anisotropic") == 2 * (3 + 4)
    # Only where two edges start from one pixel, behind the lower right corner's, does the root see both.
    assert total(square, "isotropic") == pytest.approx(2 * (3 + 4) - 2 + math.sqrt(2))


@pytest.mark.parametrize(("across", "down"), [(0.1, 0.0), (0.0, 0.05), (0.03, 0.04)])
def test_ramp(across: float, down: float) -> None:
    height, width = 6, 8
    ramp = down * torch.arange(height).double()[:, None] + across * torch.arange(width).double()
    image = ramp.expand(1, 1, height, width)
    rows, columns = height - 1, width - 1
    assert total(image, "anisotropic") == pytest.approx(across * height * columns + down * width * rows)
    inner = math.hypot(across, down) * rows * columns
    assert total(image, "isotropic") == pytest.approx(inner + across * columns + down * rows)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_direct_loop(kind: str) -> None:
    torch.manual_seed(0)
    batch = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    alone = [by_loop(image, kind) for image in batch]
    assert TotalVariation(kind, "sum")(batch).item() == pytest.approx(sum(alone) / 2, rel=1e-12)
    assert TotalVariation(kind, "mean")(batch).item() == pytest.approx(sum(alone) / (2 * 3 * 5 * 4), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TotalVariation(kind, "sum"), (image,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_flat_areas_beside_edges_keep_the_gradient_finite(kind: str) -> None:
    image = torch.zeros(1, 1, 6, 6)
    image[..., 3:] = 1
    image.requires_grad_()
    TotalVariation(kind, "sum")(image).backward()
    assert image.grad is not None
    assert torch.equal(image.grad[0, 0, :, 2], torch.full((6,), -1.0))
    assert torch.equal(image.grad[0, 0, :, 3], torch.full((6,), 1.0))
    assert not image.grad[..., :2].any()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 5), (1, 3, 5, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_lines_and_points(kind: str, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, dtype=torch.float64)
    assert total(image, kind) == pytest.approx(by_loop(image[0], kind))


pixels = st.lists(st.floats(0, 1), min_size=12, max_size=12).map(
    lambda values: torch.tensor(values, dtype=torch.float64).view(1, 1, 3, 4)
)


@given(pixels, st.floats(-2, 2), st.floats(-1, 1))
def test_follows_contrast_and_ignores_brightness(image: Tensor, contrast: float, brightness: float) -> None:
    for kind in KINDS:
        assert total(contrast * image + brightness, kind) == pytest.approx(abs(contrast) * total(image, kind), abs=1e-9)


@given(pixels)
def test_the_two_kinds_bound_each_other(image: Tensor) -> None:
    isotropic, anisotropic = total(image, "isotropic"), total(image, "anisotropic")
    assert isotropic <= anisotropic + 1e-9
    assert anisotropic <= math.sqrt(2) * isotropic + 1e-9


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UserError, match="kind=round of total variation is unknown: use anisotropic or isotropic"):
        TotalVariation("round")
    with pytest.raises(UserError, match="reduction=max is unknown: use mean or sum"):
        TotalVariation(reduction="max")
