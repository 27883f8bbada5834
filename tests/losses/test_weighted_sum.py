"""The weighted sum of loss terms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, MSE, TotalVariation, WeightedSum


class Forbidden(nn.Module):
    def forward(self, sr: Tensor) -> Tensor:
        raise AssertionError("a term of weight 0 was called")


class Brightness(nn.Module):
    def forward(self, lr: Tensor) -> Tensor:
        return lr.mean()


def term(weight: float, module: nn.Module) -> dict[str, Any]:
    return {"weight": weight, "term": module}


def total_of(loss: WeightedSum, values: dict[str, Tensor]) -> Tensor:
    return torch.stack([loss.weights[name] * value for name, value in values.items()]).sum()


@pytest.fixture
def images() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {"sr": torch.rand(2, 3, 8, 8), "hr": torch.rand(2, 3, 8, 8), "lr": torch.rand(2, 3, 4, 4)}


def test_sum_and_values(images: dict[str, Tensor]) -> None:
    loss = WeightedSum({"l1": term(2, L1()), "mse": term(0.5, MSE()), "lr": term(-1, Brightness())})
    values = loss(**images)
    total = total_of(loss, values)
    difference = images["sr"] - images["hr"]
    expected = {
        "l1": difference.abs().mean().item(),
        "mse": difference.pow(2).mean().item(),
        "lr": images["lr"].mean().item(),
    }
    assert {name: value.item() for name, value in values.items()} == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(2 * expected["l1"] + 0.5 * expected["mse"] - expected["lr"], rel=1e-5)
    assert total.shape == ()


def test_gradient_is_that_of_the_sum(images: dict[str, Tensor]) -> None:
    images["sr"].requires_grad_()
    loss = WeightedSum({"l1": term(3, L1()), "mse": term(2, MSE())})
    total_of(loss, loss(**images)).backward()
    difference = (images["sr"] - images["hr"]).detach()
    expected = (3 * difference.sign() + 2 * 2 * difference) / difference.numel()
    assert images["sr"].grad is not None
    assert torch.allclose(images["sr"].grad, expected, atol=1e-7)


def test_weight_zero_is_never_called_and_keeps_nothing(images: dict[str, Tensor]) -> None:
    with pytest.raises(AssertionError, match="was called"):
        WeightedSum({"off": term(1e-9, Forbidden())})(**images)
    loss = WeightedSum({"l1": term(1, L1()), "off": term(0, Forbidden()), "also_off": term(0.0, nn.Linear(3, 3))})
    assert list(loss(**images)) == ["l1"]
    assert list(loss.parameters()) == []


def test_a_term_gets_what_it_names_and_no_more(images: dict[str, Tensor]) -> None:
    seen = []

    class Looks(nn.Module):
        def forward(self, hr: Tensor, lr: Tensor) -> Tensor:
            seen.append((hr, lr))
            return hr.mean()

    WeightedSum({"looks": term(1, Looks())})(**images)
    assert seen == [(images["hr"], images["lr"])]


def test_missing_input_is_named(images: dict[str, Tensor]) -> None:
    class WithReference(nn.Module):
        def forward(self, sr: Tensor, ref: Tensor) -> Tensor:
            return sr.mean() + ref.mean()

    loss = WeightedSum({"l1": term(1, L1()), "texture": term(1, WithReference())})
    with pytest.raises(UserError, match="The loss term texture needs ref, which this training does not have"):
        loss(**images)


@pytest.mark.parametrize(
    "entry",
    [
        {"weight": 1.0},
        {"term": L1()},
        {"weight": 1.0, "term": L1(), "every": 2},
        {"weight": 1.0, "term": "l1"},
        {},
    ],
)
def test_a_bad_entry_is_named(entry: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"loss\.terms\.broken must have a weight and a term with a _target_"):
        WeightedSum({"l1": term(1, L1()), "broken": entry})


@pytest.mark.parametrize("terms", [{}, {"l1": term(0, L1())}, {"l1": term(0, L1()), "tv": term(0, TotalVariation())}])
def test_nothing_to_train_for_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no term whose weight is not 0"):
        WeightedSum(terms)


def test_terms_are_modules_that_move_and_are_saved() -> None:
    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, sr: Tensor) -> Tensor:
            return self.factor * sr.mean()

    loss = WeightedSum({"learned": term(1, Learned())}).double()
    assert [value.dtype for value in loss.state_dict().values()] == [torch.float64]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["loss=l1"], {"l1": 1.0}),
        (["loss=mse"], {"mse": 1.0}),
        (["loss=l1_tv"], {"l1": 1.0, "tv": 1e-4}),
        (["loss=l1_tv", "loss.terms.tv.weight=0"], {"l1": 1.0}),
    ],
)
def test_shipped_losses(overrides: list[str], expected: dict[str, float], images: dict[str, Tensor]) -> None:
    loss = instantiate(compose_config("train", overrides).loss)
    assert loss.weights == expected
    assert set(loss(**images)) == set(expected)
