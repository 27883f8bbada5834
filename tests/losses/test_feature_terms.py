"""Terms on features: closed forms, and one pass over each image for all of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.losses import L1, MSE, FeatureNetwork, Perceptual, Texture, TotalVariation, WeightedSum
from sr_experiments.losses.gradients import gradient_shares
from sr_experiments.losses.texture import cut_patches, gram


def image(seed: int, side: int = 32) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def entry(term: nn.Module, weight: float = 1.0) -> dict[str, Any]:
    return {"weight": weight, "term": term}


class TestPerceptual:
    def test_constant_offset_of_vgg54_in_both_readings(self) -> None:
        # 512 channels of 6x6, each half a unit off: a mean of 1/4, a sum over channels of 512 / 4.
        hr = torch.rand(2, 512, 6, 6)
        features = ({"relu5_4": hr + 0.5}, {"relu5_4": hr})
        factor = (1 / 12.75) ** 2
        mean = Perceptual({"relu5_4": 1.0}, factor=factor)(*features)
        summed = Perceptual({"relu5_4": 1.0}, factor=factor, reduction="sum_channels")(*features)
        assert float(mean) == pytest.approx(0.25 / 162.5625)
        assert float(summed) == pytest.approx(128 / 162.5625)
        assert float(Perceptual({"relu5_4": 1.0}, distance="l1")(*features)) == pytest.approx(0.5)

    def test_layers_are_weighted_and_weight_0_drops_one(self) -> None:
        hr = {"a": torch.zeros(1, 2, 3, 3), "b": torch.zeros(1, 4, 1, 1)}
        sr = {"a": torch.full((1, 2, 3, 3), 2.0), "b": torch.full((1, 4, 1, 1), 3.0)}
        term = Perceptual({"a": 0.2, "b": 0.02, "c": 0.0})
        assert float(term(sr, hr)) == pytest.approx(0.2 * 4 + 0.02 * 9)
        assert set(term.layers) == {"a", "b"}

    def test_frobenius_is_summed_over_channels_and_divided_by_the_volume(self) -> None:
        sr, hr = torch.rand(2, 3, 4, 5).double(), torch.rand(2, 3, 4, 5).double()
        norms = [
            math.sqrt(sum(float(sr[b, c, i, j] - hr[b, c, i, j]) ** 2 for i in range(4) for j in range(5)))
            for b in range(2)
            for c in range(3)
        ]
        value = Perceptual({"a": 1.0}, distance="frobenius")({"a": sr}, {"a": hr})
        assert float(value) == pytest.approx(sum(norms) / 2 / (3 * 4 * 5))
        summed = Perceptual({"a": 1.0}, distance="frobenius", reduction="sum_channels")({"a": sr}, {"a": hr})
        assert float(summed) == pytest.approx(3 * float(value))
        # Half a unit off everywhere: a norm of sqrt(6 * 6) / 2 a channel, over 36 positions.
        hr = torch.rand(2, 512, 6, 6)
        value = Perceptual({"relu5_1": 1.0}, distance="frobenius")({"relu5_1": hr + 0.5}, {"relu5_1": hr})
        assert float(value) == pytest.approx(3 / 36)

    def test_frobenius_has_no_gradient_where_nothing_differs(self) -> None:
        hr = torch.rand(1, 3, 4, 4)
        sr = hr.clone()
        sr[0, 1, 2, 2] += 0.5
        sr.requires_grad_()
        Perceptual({"a": 1.0}, distance="frobenius")({"a": sr}, {"a": hr}).backward()
        expected = torch.zeros(1, 3, 4, 4)
        expected[0, 1, 2, 2] = 1 / 48
        torch.testing.assert_close(sr.grad, expected)

    @pytest.mark.parametrize("wrong", [{"distance": "cosine"}, {"reduction": "sum"}, {"layers": {"a": 0.0}}])
    def test_bad_options(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(UserError):
            Perceptual(**{"layers": {"a": 1.0}, **wrong})


class TestTexture:
    def test_gram_of_a_patch_of_ones_is_256(self) -> None:
        (patches,) = cut_patches(torch.ones(1, 5, 16, 16), 16)
        assert torch.equal(gram(patches), torch.full((1, 5, 5), 256.0))

    def test_patches_are_squares_in_place(self) -> None:
        features = torch.arange(2 * 3 * 5 * 7).view(2, 3, 5, 7)
        patches = cut_patches(features, 2)
        assert patches.shape == (2, 6, 3, 4)
        assert torch.equal(patches[1, 4, 2], features[1, 2, 2:4, 2:4].flatten())
        assert torch.equal(cut_patches(features, None)[1, 0], features[1].flatten(1))

    @pytest.mark.parametrize(
        ("normalisation", "divisor"), [("none", 1.0), ("chw", (4 * 256.0) ** 2), ("gatys", 4 * (4 * 256.0) ** 2)]
    )
    def test_ones_against_zeros(self, normalisation: str, divisor: float) -> None:
        sr, hr = {"a": torch.ones(1, 4, 32, 32)}, {"a": torch.zeros(1, 4, 32, 32)}
        options = {"layers": {"a": 3e-7}, "normalisation": normalisation}
        mean, summed = (float(Texture(**options, reduction=reduction)(sr, hr)) for reduction in ("mean", "sum"))
        assert mean == pytest.approx(3e-7 * 256**2 / divisor)
        assert summed == pytest.approx(16 * mean)

    def test_texture_does_not_mind_where_in_a_patch(self) -> None:
        hr = torch.rand(1, 3, 16, 16)
        term = Texture({"a": 1.0})
        assert float(term({"a": hr.roll(5, dims=3)}, {"a": hr})) == pytest.approx(0, abs=1e-6)
        assert float(Texture({"a": 1.0}, patch=8)({"a": hr.roll(5, dims=3)}, {"a": hr})) > 0.1

    def test_loop_over_patches(self) -> None:
        sr, hr = torch.rand(2, 3, 8, 12).double(), torch.rand(2, 3, 8, 12).double()
        values = []
        for index in range(2):
            for top in (0, 4):
                for left in (0, 4, 8):
                    grams = [
                        torch.einsum("chw,dhw->cd", *[x[index, :, top : top + 4, left : left + 4]] * 2)
                        for x in (sr, hr)
                    ]
                    values.append(((grams[0] - grams[1]) ** 2).sum())
        found = Texture({"a": 1.0}, patch=4, reduction="sum")({"a": sr}, {"a": hr})
        torch.testing.assert_close(found, torch.stack(values).mean())

    def test_bad_options(self) -> None:
        with pytest.raises(UserError, match="holds no texture patch of 16x16"):
            Texture({"a": 1.0})({"a": torch.rand(1, 2, 8, 32)}, {"a": torch.rand(1, 2, 8, 32)})
        for wrong in ({"normalisation": "gram"}, {"reduction": "max"}, {"patch": 0}, {"layers": {}}):
            with pytest.raises(UserError):
                Texture(**{"layers": {"a": 1.0}, **wrong})


def test_total_variation_of_a_ramp_and_its_scale() -> None:
    # 5 rows that rise by 0.1 a pixel over 11 pixels: 3 * 5 * 10 steps; twice as much on [-1, 1].
    ramp = (torch.arange(11) * 0.1).expand(1, 3, 5, 11)
    term = TotalVariation(reduction="sum")
    assert float(term(ramp)) == pytest.approx(15)
    assert float(term(2 * ramp - 1)) == pytest.approx(30)
    assert 4e-8 * float(term(ramp)) == pytest.approx(2e-8 * float(term(2 * ramp - 1)))


class TestSharing:
    def test_one_pass_over_each_image_serves_all_terms(self, vgg19: FeatureNetwork) -> None:
        terms = {
            "low": entry(Perceptual({"relu2_2": 1.0})),
            "high": entry(Perceptual({"relu5_4": 0.5, "conv5_4": 1.0}), 0.3),
            "texture": entry(Texture({"relu1_1": 1.0, "relu2_2": 1.0}), 0.1),
            "l1": entry(L1()),
        }
        loss = WeightedSum(terms, vgg19)
        passes: list[tuple[list[str], bool]] = []
        handle = vgg19.register_forward_hook(
            lambda _module, args, output: passes.append((args[1], next(iter(output.values())).requires_grad))
        )
        sr, hr = image(1).requires_grad_(), image(2)
        values = loss(sr=sr, hr=hr, lr=hr)
        handle.remove()
        layers = ["conv5_4", "relu1_1", "relu2_2", "relu5_4"]
        assert passes == [(layers, True), (layers, False)]
        assert list(values) == list(terms)
        for name, one in terms.items():
            alone = WeightedSum({name: one}, vgg19 if name != "l1" else None)(sr=sr, hr=hr)
            assert float(values[name].detach()) == pytest.approx(float(alone[name].detach()), rel=1e-5)

    def test_weight_0_loads_nothing(self, tmp_path: Path) -> None:
        absent = FeatureNetwork("vgg19", tmp_path / "absent.pth")
        loss = WeightedSum({"l1": entry(L1()), "perceptual": entry(Perceptual({"no_such": 1.0}), 0)}, absent)
        assert loss.feature_network is None
        assert float(loss(sr=image(1), hr=image(1))["l1"]) == 0
        # With a weight, the missing file is named when the loss is built, not at the first step.
        with pytest.raises(UserError, match="absent"):
            WeightedSum({"perceptual": entry(Perceptual({"relu1_1": 1.0}))}, absent)

    def test_what_does_not_fit_is_refused_before_training(self, vgg19: FeatureNetwork) -> None:
        with pytest.raises(UserError, match="no layer relu5_9"):
            WeightedSum({"perceptual": entry(Perceptual({"relu5_9": 1.0}))}, vgg19)
        with pytest.raises(UserError, match=r"loss\.feature_network is not given"):
            WeightedSum({"perceptual": entry(Perceptual({"relu5_4": 1.0}))})

    def test_gradient_goes_to_sr_alone(self, vgg19: FeatureNetwork) -> None:
        sr, hr = image(1).requires_grad_(), image(2).requires_grad_()
        loss = WeightedSum({"perceptual": entry(Perceptual({"relu2_2": 1.0}))}, vgg19)
        loss(sr=sr, hr=hr)["perceptual"].backward()
        assert sr.grad is not None
        assert hr.grad is None
        assert loss.state_dict() == {}
        assert list(loss.parameters()) == []

    def test_the_adversarial_part_is_kept_but_not_registered(self) -> None:
        adversarial = nn.Linear(2, 2)
        loss = WeightedSum({"l1": entry(L1(), 0)}, adversarial=adversarial)
        assert loss.adversarial is adversarial
        assert list(loss.parameters()) == []
        assert loss(sr=image(1), hr=image(2)) == {}


class TestGradientShares:
    def test_against_norms_by_hand(self) -> None:
        sr, hr = image(1, 8).double().requires_grad_(), image(2, 8).double()
        loss = WeightedSum({"l1": entry(L1(), 2.0), "mse": entry(MSE(), 3.0)})
        weighted = {name: loss.weights[name] * value for name, value in loss(sr=sr, hr=hr).items()}
        shares = gradient_shares(weighted, sr)
        pixels = sr.numel()
        l1 = 2.0 * pixels**0.5 / pixels
        mse = 3.0 * float((2 * (sr - hr) / pixels).detach().norm())
        assert shares == pytest.approx({"l1": l1 / (l1 + mse), "mse": mse / (l1 + mse)})
        # The graph is still there for the update.
        sum(weighted.values()).backward()  # type: ignore[union-attr]
        assert sr.grad is not None

    def test_terms_without_gradient_have_no_share(self) -> None:
        sr = torch.rand(1, 3, 4, 4, requires_grad=True)
        shares = gradient_shares({"constant": torch.tensor(1.0), "sum": sr.sum()}, sr)
        assert shares == {"constant": 0.0, "sum": 1.0}
        assert gradient_shares({"constant": torch.tensor(1.0)}, sr) == {"constant": 0.0}
