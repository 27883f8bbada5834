"""Training against a discriminator: the network, called generator here, and a critic of its images."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn import functional as F
from torch.optim import Optimizer

from sr_experiments.errors import UserError
from sr_experiments.losses import WeightedSum
from sr_experiments.training.critic import Critic
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.training.terms import Batch, Term, Terms, Values


class Adversarial(Supervised):
    """Trains the generator and, in turn, the discriminator that its loss brings along.

    One loader batch is one generator update, and only those count as steps. The generator goes first; the discriminator
    then learns from the same batch, from what the generator had made of it, so that one pass of the generator serves
    both.

    Args:
        player: the generator and what changes it.
        loss: weighted sum of terms with an adversarial part.
        discriminator_optimizer: parameters -> optimizer of the discriminator; schedule and clipping are the player's.
        log_gradient_shares: see `Supervised`.

    Raises:
        UserError: the loss has no adversarial part.
    """

    def __init__(
        self,
        player: Player,
        loss: WeightedSum,
        discriminator_optimizer: Callable[..., Optimizer],
        log_gradient_shares: bool = False,
    ) -> None:
        super().__init__(player, loss, log_gradient_shares)
        if loss.adversarial is None:
            raise UserError(
                "A training against a discriminator needs a loss with an adversarial part, such as loss=srgan_vgg54; "
                "this one has none: choose another, or use training=supervised."
            )
        self.critic = Critic(loss.adversarial, player, discriminator_optimizer)

    def update(self, parts: list[Batch], play: Play) -> Values:
        """One update of the generator, and the discriminator's answer."""
        shown: list[Batch] = []

        def generator_terms(part: Batch) -> Terms:
            batch = self.with_sr(part)
            shown.append({"hr": batch["hr"], "sr": batch["sr"].detach(), "key": batch["key"]})
            return self.terms(batch, play)

        values = play.learn(self.player, parts, generator_terms)
        return {**values, **self.answer(shown, play)}

    def answer(self, shown: list[Batch], play: Play) -> Values:
        """Update the discriminator on what the generator made of every part: `hr`, `sr` (detached) and `key`."""
        return self.critic.update(shown, play)

    def terms(self, batch: Batch, play: Play) -> Terms:
        """The terms of the generator's loss, in a warm start that of pixels alone, and their shares where logged."""
        sr = batch["sr"]
        if self.critic.game.is_warm_up(play.step):
            warm = F.l1_loss(sr, batch["target"] if "target" in batch else batch["hr"])
            terms = {"warm_up": Term(warm.detach(), warm)}
        else:
            terms = self.generator_terms(batch, play) or {"none": Term(sr.new_zeros(()), 0.0 * sr.sum())}
        return {**terms, **self.shares(sr, terms, play)}

    def generator_terms(self, batch: Batch, play: Play) -> Terms:
        """The terms of the weighted sum, and what the discriminator thinks of SR."""
        adversarial = self.critic.generator_terms(batch["sr"], batch["hr"], play)
        return {**self.image_terms(batch, play.step), **adversarial}

    def facts(self, step: int) -> dict[str, float]:
        """Also the weight of the adversarial term."""
        return {**super().facts(step), "adversarial_weight": self.critic.game.weight_at(step)}
