"""The texture term of SRNTT: loops and closed forms, and what the similarity does to it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, FeatureNetwork, ReferenceTexture, WeightedSum

SIZES = {"relu3_1": (6, 1), "relu2_1": (4, 2), "relu1_1": (3, 4)}
Maps = dict[str, Tensor]


def random_maps(seed: int, rows: int = 4, columns: int = 5, batch: int = 2) -> Maps:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(batch, channels, ratio * rows, ratio * columns, generator=draw, dtype=torch.float64)
        for name, (channels, ratio) in SIZES.items()
    }


def random_similarity(rows: int = 4, columns: int = 5, batch: int = 2) -> Tensor:
    return torch.rand(batch, 1, rows, columns, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def gram_by_loops(features: Tensor, worth: Tensor) -> list[list[float]]:
    channels, height, width = features.shape
    cells = [(i, j) for i in range(height) for j in range(width)]
    weighed = [[float(features[c, i, j]) * float(worth[i, j]) for i, j in cells] for c in range(channels)]
    return [[sum(x * y for x, y in zip(a, b, strict=True)) for b in weighed] for a in weighed]


def value_by_loops(sr: Maps, maps: Maps, similarity: Tensor, weights: dict[str, float], norm: str) -> float:
    """From the formula, entry by entry."""
    total = 0.0
    for name, weight in weights.items():
        batch, channels, height, width = maps[name].shape
        ratio = SIZES[name][1]
        worth = similarity if ratio == 1 else bicubic_upsample(similarity, scale=ratio)
        for sample in range(batch):
            pair = [gram_by_loops(x[name][sample], worth[sample, 0]) for x in (sr, maps)]
            squares = [
                (a - b) ** 2 / (4 * (channels * height * width) ** 2)
                for row_a, row_b in zip(*pair, strict=True)
                for a, b in zip(row_a, row_b, strict=True)
            ]
            value = math.sqrt(sum(squares)) if norm == "frobenius" else sum(squares) / channels**2
            total += weight * value / batch
    return total


@pytest.mark.parametrize("norm", ["frobenius", "squared"])
def test_against_loops(norm: str) -> None:
    sr, maps, similarity = random_maps(1), random_maps(2), random_similarity()
    weights = {"relu3_1": 0.5, "relu2_1": 2.0, "relu1_1": 1.0}
    expected = value_by_loops(sr, maps, similarity, weights, norm)
    assert float(ReferenceTexture(weights, norm=norm)(sr, maps, similarity)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weighting", "worth"),
    [
        ("similarity", 0.8),
        ("centred", 1 / (1 + math.exp(-20 * (0.8 - 0.65)))),
        ("released", 1 / (1 + math.exp(20 * 0.8 - 0.65))),
        ("none", 1.0),
    ],
)
def test_ones_against_zeros(weighting: str, worth: float) -> None:
    # Gram matrices of 4x4 entries, all 30 * worth^2: a Frobenius norm of 4 times that, a mean square of its square.
    sr, maps = {"a": torch.ones(1, 4, 5, 6)}, {"a": torch.zeros(1, 4, 5, 6)}
    similarity = torch.full((1, 1, 5, 6), 0.8)
    for norm, normalisation, expected in (
        ("frobenius", "none", 4 * 30 * worth**2),
        ("frobenius", "gatys", 4 * 30 * worth**2 / (2 * 4 * 30)),
        ("squared", "none", (30 * worth**2) ** 2),
        ("squared", "gatys", (30 * worth**2) ** 2 / (2 * 4 * 30) ** 2),
    ):
        term = ReferenceTexture({"a": 1.0}, weighting=weighting, norm=norm, normalisation=normalisation)
        assert float(term(sr, maps, similarity)) == pytest.approx(expected, rel=1e-4)


def test_what_is_alike_counts_more_but_for_the_released_sign() -> None:
    sr, maps = random_maps(1), random_maps(2)
    values = {}
    for weighting in ("similarity", "centred", "released", "none"):
        term = ReferenceTexture(dict.fromkeys(SIZES, 1.0), weighting=weighting)
        values[weighting] = [float(term(sr, maps, torch.full((2, 1, 4, 5), s).double())) for s in (0.2, 0.5, 0.9)]
    for weighting in ("similarity", "centred"):
        assert values[weighting] == sorted(values[weighting])
        assert values[weighting][2] > 3 * values[weighting][1]
    assert values["released"] == sorted(values["released"], reverse=True)
    # From 0.3 on the factor is below 0.005 there, and the Gram matrices have its square.
    assert values["released"][1] < 1e-6 * values["none"][1]
    assert len(set(values["none"])) == 1


def test_the_size_is_that_of_each_layer() -> None:
    # The same texture over four times the area: sums over positions grow with it, and so does the normaliser.
    sr, maps = random_maps(1)["relu1_1"], random_maps(2)["relu1_1"]
    term = ReferenceTexture({"relu1_1": 1.0}, weighting="none")
    similarity = torch.ones(2, 1, 4, 5)
    once = term({"relu1_1": sr}, {"relu1_1": maps}, similarity)
    tiled = [{"relu1_1": x.repeat(1, 1, 2, 2)} for x in (sr, maps)]
    torch.testing.assert_close(term(*tiled, similarity.repeat(1, 1, 2, 2)), once)


def test_where_textures_lie_does_not_matter() -> None:
    maps = random_maps(1)
    term = ReferenceTexture(dict.fromkeys(SIZES, 1.0), weighting="none")
    moved = {name: value.roll((1, 2), dims=(2, 3)) for name, value in maps.items()}
    assert float(term(moved, maps, torch.ones(2, 1, 4, 5))) == pytest.approx(0, abs=1e-9)


def test_maps_are_not_changed_and_get_no_gradient() -> None:
    sr, maps, similarity = random_maps(1), random_maps(2), random_similarity()
    kept = {name: value.clone() for name, value in maps.items()}
    sr = {name: value.requires_grad_() for name, value in sr.items()}
    ReferenceTexture(dict.fromkeys(SIZES, 1.0))(sr, maps, similarity).backward()
    assert all(torch.equal(maps[name], kept[name]) for name in maps)
    assert torch.equal(similarity, random_similarity())
    assert all(value.grad is not None and value.grad.any() for value in sr.values())


@pytest.mark.parametrize("norm", ["frobenius", "squared"])
def test_gradient_is_finite_where_nothing_differs(norm: str) -> None:
    maps = random_maps(1)
    sr = {name: value.clone().requires_grad_() for name, value in maps.items()}
    value = ReferenceTexture(dict.fromkeys(SIZES, 1.0), norm=norm)(sr, maps, random_similarity())
    value.backward()
    assert float(value.detach()) == 0
    assert all(not x.grad.any() for x in sr.values() if x.grad is not None)
    # A sample that has arrived does not spoil the gradient of another.
    other = {name: torch.cat([x[:1], 2 * x[1:]]).detach().requires_grad_() for name, x in maps.items()}
    ReferenceTexture(dict.fromkeys(SIZES, 1.0), norm=norm)(other, maps, random_similarity()).backward()
    for x in other.values():
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
        assert x.grad[1].any()


def test_gradient_is_that_of_finite_differences() -> None:
    sr = random_maps(1, rows=2, columns=2, batch=1)["relu2_1"].requires_grad_()
    maps, similarity = random_maps(2, rows=2, columns=2, batch=1), random_similarity(2, 2, 1)
    term = ReferenceTexture({"relu2_1": 1.0})
    assert torch.autograd.gradcheck(lambda x: term({"relu2_1": x}, maps, similarity), sr)


def test_surplus_cells_are_left_out() -> None:
    # At x2 of odd sizes the maps reach two pixels further than SR.
    sr, maps, similarity = random_maps(1), random_maps(2), random_similarity()
    cut = {name: value[..., :-2, :-2] for name, value in sr.items() if name != "relu3_1"}
    term = ReferenceTexture({"relu2_1": 1.0, "relu1_1": 1.0}, weighting="none")
    cropped = {name: value[..., :-2, :-2] for name, value in maps.items()}
    assert float(term(cut, maps, similarity)) == float(term(cut, cropped, similarity))
    weighed = ReferenceTexture({"relu2_1": 1.0, "relu1_1": 1.0})
    assert torch.isfinite(weighed(cut, maps, similarity))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weighting": "sigmoid"}, "weighting=sigmoid .* use similarity, centred, released, none"),
        ({"norm": "l1"}, "norm=l1 .* use frobenius, squared"),
        ({"normalisation": "chw"}, "normalisation=chw .* use gatys, none"),
        ({"layers": {"relu1_1": 0.0}}, "no layer whose weight is not 0"),
    ],
)
def test_bad_options(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReferenceTexture(**{"layers": {"relu1_1": 1.0}, **wrong})


def test_a_layer_without_a_map_is_named() -> None:
    sr = {"relu4_1": torch.ones(1, 2, 3, 3)}
    with pytest.raises(UserError, match="looks at relu4_1, but the matching gives relu3_1, relu2_1, relu1_1"):
        ReferenceTexture({"relu4_1": 1.0})(sr, random_maps(1), random_similarity())


def test_in_a_weighted_sum(vgg19: FeatureNetwork) -> None:
    term = ReferenceTexture(dict.fromkeys(SIZES, 1.0))
    loss = WeightedSum({"l1": {"weight": 1.0, "term": L1()}, "texture": {"weight": 1.0, "term": term}}, vgg19)
    hr = torch.rand(2, 3, 16, 24)
    sr = (hr + 0.1).requires_grad_()
    maps, similarity = vgg19(hr, SIZES), torch.full((2, 1, 4, 6), 0.7)
    values = loss(sr=sr, hr=hr, maps=maps, similarity=similarity)
    with torch.no_grad():
        expected = term(vgg19(sr, SIZES), maps, similarity)
    torch.testing.assert_close(values["texture"], expected)
    sum(values.values()).backward()  # type: ignore[union-attr]
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()
    with pytest.raises(UserError, match="texture needs maps, similarity, which this training does not have"):
        loss(sr=sr, hr=hr)
