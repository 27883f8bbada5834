"""Training against discriminators of images and of their features: SRFeat, Park et al., ECCV 2018."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

from sr_experiments.errors import UserError
from sr_experiments.losses import WeightedSum
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.critic import Critic
from sr_experiments.training.game import Game
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.recipes.adversarial import Adversarial
from sr_experiments.training.terms import Batch, Terms, Values


class FeatureAdversarial(Adversarial):
    """Adversarial training with a second discriminator, which sees a layer of the loss's feature network.

    Args:
        features: the second game, whose discriminator takes the activations of `layer`.
        layer: of the loss's feature network; the paper's is VGG19's conv5.
        player, loss, discriminator_optimizer, log_gradient_shares: see `Adversarial`; both discriminators have an
            optimizer of this kind.
    """

    def __init__(
        self, player: Player, loss: WeightedSum, discriminator_optimizer: Callable[..., Optimizer],
        features: Game, layer: str = "relu5_4", log_gradient_shares: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(player, loss, discriminator_optimizer, log_gradient_shares)
        if loss.feature_network is None:
            raise UserError("training=feature_adversarial needs a loss with a feature network, such as loss=srfeat.")
        loss.feature_network.check([layer])
        self.layer = layer
        self.feature_critic = Critic(features, player, discriminator_optimizer, prefix="f_")

    def features(self, image: Tensor) -> Tensor:
        """(B, 3, c, c) -> the activations that the second discriminator sees, (B, C, h, w)."""
        assert self.loss.feature_network is not None
        with full_precision(image.device):
            return self.loss.feature_network(image, [self.layer])[self.layer]

    def generator_terms(self, batch: Batch, play: Play) -> Terms:
        """Also what the second discriminator thinks of SR."""
        sr, hr = self.features(batch["sr"]), self.features(batch["hr"])
        others = self.feature_critic.generator_terms(sr, hr, play, name="feature_adversarial")
        return {**super().generator_terms(batch, play), **others}

    def answer(self, shown: list[Batch], play: Play) -> Values:
        """Update both discriminators."""
        with torch.no_grad():
            seen = [{**part, **{name: self.features(part[name]) for name in ("hr", "sr")}} for part in shown]
        return {**super().answer(shown, play), **self.feature_critic.update(seen, play)}
