"""Focal frequency, contextual and LR-consistency terms against loops written from their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import MSE, Contextual, FocalFrequency, LRConsistency, WeightedSum


def pair(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(8)
    shape = (2, channels, height, width)
    return torch.rand(shape, generator=generator).double(), torch.rand(shape, generator=generator).double()


class TestFocalFrequency:
    @pytest.mark.parametrize("alpha", [1.0, 0.5])
    def test_against_a_loop(self, alpha: float) -> None:
        sr, hr = pair(3, 6, 5)
        values = []
        for index in range(2):
            for channel in range(3):
                a, b = (np.fft.fft2(x[index, channel].numpy()) / np.sqrt(30) for x in (sr, hr))
                distance = np.abs(a - b)
                weight = distance**alpha / (distance**alpha).max()
                values.append(weight * distance**2)
        assert float(FocalFrequency(alpha)(sr, hr)) == pytest.approx(np.mean(values))

    def test_without_focus_it_is_the_mse(self) -> None:
        sr, hr = pair(3, 8, 8)
        torch.testing.assert_close(FocalFrequency(0.0)(sr, hr), MSE()(sr, hr))

    def test_equal_images_give_0_and_a_gradient_of_0(self) -> None:
        sr, _ = pair(1, 4, 4)
        sr.requires_grad_()
        value = FocalFrequency()(sr, sr.detach().clone())
        value.backward()
        assert float(value.detach()) == 0
        assert sr.grad is not None
        assert float(sr.grad.abs().max()) == 0

    def test_bad_alpha(self) -> None:
        with pytest.raises(UserError, match="alpha"):
            FocalFrequency(-1)


def contextual_loop(sr: Tensor, hr: Tensor, bandwidth: float) -> float:
    """Equations 2 to 4 and 1, one pair of positions at a time."""
    losses = []
    for x_map, y_map in zip(sr.numpy(), hr.numpy(), strict=True):
        centre = y_map.mean(axis=(1, 2))
        x = [column - centre for column in x_map.reshape(len(x_map), -1).T]
        y = [column - centre for column in y_map.reshape(len(y_map), -1).T]
        likeness = np.zeros((len(x), len(y)))
        for i, a in enumerate(x):
            d = np.array([1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in y])
            w = np.exp((1 - d / (d.min() + 1e-5)) / bandwidth)
            likeness[i] = w / w.sum()
        losses.append(-math.log(likeness.max(axis=0).mean() + 1e-5))
    return float(np.mean(losses))


class TestContextual:
    @pytest.mark.parametrize("rows", [4, 1024])
    def test_against_a_loop(self, rows: int) -> None:
        sr, hr = pair(5, 3, 4)
        found = Contextual({"a": 2.0}, bandwidth=0.5, rows=rows)({"a": sr}, {"a": hr})
        assert float(found) == pytest.approx(2 * contextual_loop(sr, hr, 0.5))

    def test_the_rows_at_once_do_not_change_the_gradient(self) -> None:
        gradients = []
        for rows in (3, 1024):
            sr, hr = pair(5, 4, 4)
            sr.requires_grad_()
            Contextual({"a": 1.0}, rows=rows)({"a": sr}, {"a": hr}).backward()
            assert sr.grad is not None
            gradients.append(sr.grad)
        torch.testing.assert_close(*gradients)

    def test_alignment_does_not_matter(self) -> None:
        _, hr = pair(16, 4, 4)
        term = Contextual({"a": 1.0})
        assert float(term({"a": hr.flip(3)}, {"a": hr})) == pytest.approx(float(term({"a": hr}, {"a": hr})), abs=1e-6)
        assert float(term({"a": hr}, {"a": hr})) < 1e-3

    def test_bad_options(self) -> None:
        for wrong in ({"bandwidth": 0.0}, {"rows": 0}, {"layers": {"a": 0}}):
            with pytest.raises(UserError):
                Contextual(**{"layers": {"a": 1.0}, **wrong})


class TestLRConsistency:
    def test_distance_to_lr(self) -> None:
        sr, _ = pair(3, 8, 8)
        degradation = Bicubic(4, rounding="none")
        lr = degradation(sr)
        assert float(LRConsistency(degradation)(sr, lr)) == 0
        assert float(LRConsistency(degradation)(sr, lr + 0.25)) == pytest.approx(0.25)
        assert float(LRConsistency(degradation, "l2")(sr, lr + 0.25)) == pytest.approx(0.0625)

    def test_gradient_passes_the_rounding_of_the_degradation(self) -> None:
        sr, _ = pair(3, 8, 8)
        sr.requires_grad_()
        LRConsistency(Bicubic(4))(sr, torch.zeros(2, 3, 2, 2).double()).backward()
        assert sr.grad is not None
        assert float(sr.grad.sum()) > 0

    def test_the_key_is_passed_where_the_training_has_one(self) -> None:
        class Shifted(Bicubic):
            def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
                shift = 0 if key is None else key.view(-1, 1, 1, 1)
                return super().forward(hr, key) + shift

        sr, _ = pair(3, 8, 8)
        degradation = Shifted(4, rounding="none")
        loss = WeightedSum({"cycle": {"weight": 1, "term": LRConsistency(degradation)}})
        lr = Bicubic(4, rounding="none")(sr)
        assert float(loss(sr=sr, lr=lr)["cycle"]) == 0
        assert float(loss(sr=sr, lr=lr, key=torch.tensor([0.5, 0.25]))["cycle"]) == pytest.approx(0.375)
        with pytest.raises(UserError, match="cycle needs lr"):
            loss(sr=sr)

    def test_bad_distance(self) -> None:
        with pytest.raises(UserError, match="distance"):
            LRConsistency(Bicubic(4), "linf")
