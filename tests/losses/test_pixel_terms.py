"""Pixel losses: closed forms, values by hand, gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.losses import L1, MSE, Charbonnier, SmoothL1

TERMS: dict[str, Callable[[], nn.Module]] = {
    "l1": L1,
    "mse": MSE,
    "smooth_l1": SmoothL1,
    "charbonnier": Charbonnier,
    "charbonnier_sum": lambda: Charbonnier(reduction="sum"),
}

# Two images of one channel and 1 x 2 pixels; the differences are 0, 0.5, -0.004 and -1.
SR = torch.tensor([0.25, 0.75, 0.496, 0.0], dtype=torch.float64).view(2, 1, 1, 2)
HR = torch.tensor([0.25, 0.25, 0.5, 1.0], dtype=torch.float64).view(2, 1, 1, 2)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (L1(), 1.504 / 4),
        (MSE(), (0.25 + 0.000016 + 1) / 4),
        (MSE(reduction="sum"), (0.25 + 0.000016 + 1) / 2),
        # d^2 / (2 beta) below beta, |d| - beta / 2 above it.
        (SmoothL1(beta=0.01), (0.495 + 0.000016 / 0.02 + 0.995) / 4),
        (SmoothL1(beta=1.0), (0.125 + 0.000008 + 0.5) / 4),
        (Charbonnier(epsilon=0.003), (0.003 + 0.25000900**0.5 + 0.005 + 1.000009**0.5) / 4),
        (Charbonnier(epsilon=0.003, reduction="sum"), (0.003 + 0.25000900**0.5 + 0.005 + 1.000009**0.5) / 2),
    ],
)
def test_values_by_hand(term: nn.Module, expected: float) -> None:
    assert term(SR, HR).item() == pytest.approx(expected, rel=1e-12)
    assert term(HR, SR).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", TERMS)
def test_gradients(name: str) -> None:
    torch.manual_seed(0)
    sr = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    hr = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(TERMS[name](), (sr, hr), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_equal_images_have_the_smallest_loss_and_no_gradient(name: str) -> None:
    sr = torch.rand(2, 3, 4, 5).requires_grad_()
    term = TERMS[name]()
    loss = term(sr, sr.detach())
    floor = {"charbonnier": 1e-3, "charbonnier_sum": 1e-3 * 3 * 4 * 5}.get(name, 0.0)
    assert loss.item() == pytest.approx(floor, rel=1e-5)
    loss.backward()
    assert sr.grad is not None
    assert not sr.grad.any()


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_counts_as_its_mean(name: str) -> None:
    term, sr, hr = TERMS[name](), torch.rand(3, 3, 4, 5), torch.rand(3, 3, 4, 5)
    alone = [term(sr[k : k + 1], hr[k : k + 1]).item() for k in range(3)]
    assert term(sr, hr).item() == pytest.approx(sum(alone) / 3, rel=1e-5)


images = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12)


def as_images(values: list[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    sr, hr = torch.tensor(values, dtype=torch.float64).T
    return sr.reshape(1, 1, 1, -1), hr.reshape(1, 1, 1, -1)


@given(images, st.floats(1e-4, 0.5))
def test_charbonnier_lies_just_above_l1(values: list[tuple[float, float]], epsilon: float) -> None:
    sr, hr = as_images(values)
    l1, charbonnier = L1()(sr, hr), Charbonnier(epsilon)(sr, hr)
    assert l1 - 1e-12 <= charbonnier <= l1 + epsilon + 1e-12


@given(images, st.floats(1e-4, 0.5))
def test_smooth_l1_lies_just_below_l1(values: list[tuple[float, float]], beta: float) -> None:
    sr, hr = as_images(values)
    l1, smooth = L1()(sr, hr), SmoothL1(beta)(sr, hr)
    assert l1 - beta / 2 - 1e-12 <= smooth <= l1 + 1e-12


@given(images)
def test_mse_is_the_mean_of_squares(values: list[tuple[float, float]]) -> None:
    assert MSE()(*as_images(values)).item() == pytest.approx(np.mean([(a - b) ** 2 for a, b in values]), abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmoothL1(beta=0), "beta of smooth L1 must be positive, not 0"),
        (lambda: Charbonnier(epsilon=0.0), r"epsilon of Charbonnier must be positive, not 0\.0"),
        (lambda: Charbonnier(reduction="median"), "reduction=median is unknown: use mean or sum"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
