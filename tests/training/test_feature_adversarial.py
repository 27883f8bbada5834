"""Three players: the generator, a discriminator of images and one of their features."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from sr_experiments.discriminators import FeatureDiscriminator, SRGANDiscriminator
from sr_experiments.errors import UserError
from sr_experiments.features.feature_network import FeatureNetwork
from sr_experiments.losses import Perceptual, WeightedSum
from sr_experiments.models.espcn import ESPCN
from sr_experiments.objectives import Vanilla
from sr_experiments.training.game import Game
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.recipes.feature_adversarial import FeatureAdversarial
from sr_experiments.upsamplers import SubPixel

SGD = partial(torch.optim.SGD, lr=0.1)


def recipe(start: int = 0) -> FeatureAdversarial:
    torch.manual_seed(0)
    images = Game(SRGANDiscriminator(16, channels=4, hidden=8), Vanilla(), weight=0.1)
    features = Game(FeatureDiscriminator(64, channels=8, hidden=8), Vanilla(), weight=0.2, start=start)
    terms = {"perceptual": {"weight": 1.0, "term": Perceptual({"relu1_2": 1.0})}}
    loss = WeightedSum(terms, FeatureNetwork("vgg19", "random"), images)
    made = FeatureAdversarial(Player(ESPCN(4, SubPixel), SGD), loss, SGD, features, layer="relu1_2")
    for player in made.players():
        player.begin()
    return made


def batch() -> dict[str, Any]:
    hr = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return {"hr": hr, "lr": hr[..., ::4, ::4].contiguous(), "key": torch.arange(2)}


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_the_generator_learns_from_both_and_each_discriminator_from_its_own() -> None:
    made, given = recipe(), batch()
    generator, image_critic, feature_critic = made.players()
    assert [player.counts for player in made.players()] == [True, False, False]
    before = [weights(player.network) for player in made.players()]
    reference = recipe()
    sr = reference.player(given["lr"])
    features = reference.loss.feature_network
    assert features is not None
    seen = [features(image, ["relu1_2"])["relu1_2"] for image in (sr, given["hr"])]
    fake = [reference.critic.player(sr), reference.feature_critic.player(seen[0])]
    of_features = ({"relu1_2": maps} for maps in seen)
    expected = made.loss.terms["perceptual"](**dict(zip(("sr_features", "hr_features"), of_features, strict=True)))
    expected = expected + sum(w * nn.functional.softplus(-f).mean() for w, f in zip((0.1, 0.2), fake, strict=True))
    (gradient,) = torch.autograd.grad(expected, [next(reference.player.network.parameters())])
    values = made.update([given], Play(0, is_logged=True))
    torch.testing.assert_close(values["loss"], expected.detach())
    torch.testing.assert_close(next(generator.network.parameters()).grad, gradient)
    assert all(not torch.equal(old, weights(p.network)) for old, p in zip(before, made.players(), strict=True))
    # The second discriminator's step is one of gradient descent on the features of the images before the update.
    judge = reference.feature_critic.player.network.requires_grad_(True).train()
    on_sr, on_hr = (judge(features.detach()) for features in seen)
    (nn.functional.softplus(-on_hr).mean() + nn.functional.softplus(on_sr).mean()).backward()
    moved = weights(judge) - 0.1 * torch.cat([p.grad.flatten() for p in judge.parameters() if p.grad is not None])
    torch.testing.assert_close(weights(feature_critic.network), moved)
    names = {"loss", "perceptual", "adversarial", "feature_adversarial", "d_loss", "f_loss", "f_gradient_norm"}
    assert names < set(values)
    assert all(not p.requires_grad and p.grad is None for p in feature_critic.network.parameters())
    assert image_critic.prefix == "d_"


def test_the_second_game_may_begin_later() -> None:
    made, given = recipe(start=1), batch()
    assert "f_loss" not in made.update([given], Play(0))
    assert "f_loss" in made.update([given], Play(1))


def test_a_loss_without_features_is_refused() -> None:
    whole = recipe()
    assert whole.critic.game.discriminator is not None
    loss = WeightedSum({}, None, whole.critic.game)
    with pytest.raises(UserError, match="needs a loss with a feature network"):
        FeatureAdversarial(whole.player, loss, SGD, whole.feature_critic.game)
