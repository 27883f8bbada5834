"""Losses of intermediate images, against direct loops and hand-shrunk targets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, MSE, PyramidSupervision, RecursiveSupervision, WeightedSum


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def total_of(loss: WeightedSum, **inputs: Any) -> Tensor:
    return torch.stack([loss.weights[name] * value for name, value in loss(**inputs).items()]).sum()


def images(count: int) -> tuple[list[Tensor], Tensor]:
    """Images that want a gradient, and their HR."""
    made = [torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True) for _ in range(count)]
    return made, torch.rand(2, 3, 8, 8, dtype=torch.float64)


def half_sum(sr: Tensor, hr: Tensor) -> float:
    """1 / 2N times the sum of squares, pixel by pixel."""
    return sum((a - b) ** 2 for a, b in zip(sr.flatten().tolist(), hr.flatten().tolist(), strict=True)) / 2 / len(sr)


@pytest.mark.parametrize(("step", "alpha"), [(0, 1.0), (50, 0.75), (100, 0.5), (200, 0.0), (300, 0.0)])
def test_drcn_is_its_formula_at_every_step(step: int, alpha: float) -> None:
    config = compose_config("train", ["loss=drcn", "trainer.max_steps=200"])
    loss = instantiate(config.loss)
    outputs, hr = images(4)
    on_the_way = sum(half_sum(image, hr) for image in outputs[:3]) / 3
    expected = alpha * on_the_way + (1 - alpha) * half_sum(outputs[3], hr)
    total = total_of(loss, sr=outputs[-1], outputs=outputs, hr=hr, step=step)
    assert total.item() == pytest.approx(expected, rel=1e-10)
    # d/dx of alpha / D * sum of squares / 2N is alpha / D * (x - hr) / N.
    total.backward()
    shares = [alpha / 3] * 3 + [1 - alpha]
    for image, share in zip(outputs, shares, strict=True):
        assert image.grad is not None
        assert torch.allclose(image.grad, share * (image - hr).detach() / 2)


def test_memnet_counts_every_image_alike() -> None:
    loss = instantiate(compose_config("train", ["loss=memnet"]).loss)
    outputs, hr = images(7)
    total = total_of(loss, sr=outputs[-1], outputs=outputs, hr=hr, step=12345)
    assert total.item() == pytest.approx(sum(half_sum(image, hr) for image in outputs) / 7, rel=1e-10)


def test_lapsrn_sums_charbonnier_at_every_level() -> None:
    loss = instantiate(compose_config("train", ["loss=lapsrn"]).loss)
    hr = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    outputs = [torch.rand(2, 3, 16 // k, 24 // k, dtype=torch.float64, requires_grad=True) for k in (4, 2, 1)]
    expected = 0.0
    for image, shrunk_by in zip(outputs, (4, 2, 1), strict=True):
        target = hr if shrunk_by == 1 else Bicubic(shrunk_by, rounding="none")(hr)
        for a, b in zip(image.flatten().tolist(), target.flatten().tolist(), strict=True):
            expected += ((a - b) ** 2 + 1e-6) ** 0.5 / 2
    total = total_of(loss, sr=outputs[-1], outputs=outputs, hr=hr, step=0)
    assert total.item() == pytest.approx(expected, rel=1e-9)
    total.backward()
    assert all(image.grad is not None and image.grad.abs().min() > 0 for image in outputs)


def test_a_single_level_is_the_plain_term() -> None:
    outputs, hr = images(1)
    assert PyramidSupervision(L1())(outputs, hr) == L1()(outputs[0], hr)
    assert RecursiveSupervision(L1())(outputs, hr, 0) == L1()(outputs[0], hr)


def test_a_share_that_stays() -> None:
    outputs, hr = images(3)
    term = RecursiveSupervision(MSE(), share=0.25)
    expected = 0.25 * (MSE()(outputs[0], hr) + MSE()(outputs[1], hr)) / 2 + 0.75 * MSE()(outputs[2], hr)
    for step in (0, 1000):
        assert term(outputs, hr, step).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, "share of the intermediate images must be from 0 to 1, not 1.5"),
        ({"share": 1.0, "last_share": -0.1, "steps": 5}, "last_share of the intermediate images"),
        ({"last_share": 0.0, "steps": 5}, "needs a share to begin with"),
        ({"share": 1.0, "last_share": 0.0, "steps": -1}, "steps of at least 1.* or trainer.max_steps"),
    ],
)
def test_shares_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RecursiveSupervision(L1(), **options)  # type: ignore[arg-type]


def test_euclidean_is_half_the_sum_of_squares_of_an_image() -> None:
    loss: nn.Module = instantiate(compose_config("train", ["loss=euclidean"]).loss)
    (sr,), hr = images(1)
    assert total_of(loss, sr=sr, hr=hr).item() == pytest.approx(half_sum(sr, hr), rel=1e-10)
