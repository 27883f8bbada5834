"""Training towards the HR image: one network and a weighted sum of terms."""

from __future__ import annotations

from torch import Tensor

from sr_experiments.inputs.of_network import side_inputs
from sr_experiments.losses import WeightedSum
from sr_experiments.losses.gradients import gradient_shares
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.recipe import Recipe
from sr_experiments.training.terms import Batch, Term, Terms, Values

# What of a batch the terms of a loss may ask for.
LOSS_INPUTS = ("hr", "lr", "key", "maps", "similarity", "outputs")


class Supervised(Recipe):
    """Trains a network to make SR that is like HR, or like the degradation's target where there is one.

    Args:
        player: the network and what changes it.
        loss: weighted sum of terms.
        log_gradient_shares: log each term's share of the gradient norm at the image; costs a backward pass a term.
    """

    loss: WeightedSum

    def __init__(self, player: Player, loss: WeightedSum, log_gradient_shares: bool = False) -> None:
        super().__init__(player)
        self.loss = loss
        self.log_gradient_shares = log_gradient_shares
        self.takes_outputs = bool(loss.terms_that_take("outputs"))

    def update(self, parts: list[Batch], play: Play) -> Values:
        """Update the network once."""
        return play.learn(self.player, parts, lambda part: self.terms(self.with_sr(part), play))

    def with_sr(self, batch: Batch) -> Batch:
        """A prepared batch with what the network in training makes of it: `sr` and, if terms ask for it, `outputs`."""
        network, side = self.player.network, side_inputs(self.player.network, batch)
        if not self.takes_outputs:
            return {**batch, "sr": network(batch["lr"], **side).float()}
        outputs = [image.float() for image in network.outputs(batch["lr"], **side)]  # type: ignore[operator]
        return {**batch, "sr": outputs[-1], "outputs": outputs}

    def terms(self, batch: Batch, play: Play) -> Terms:
        """The terms of the loss of a batch with `sr`, and their shares of the gradient where these are logged."""
        terms = self.image_terms(batch, play.step)
        return {**terms, **self.shares(batch["sr"], terms, play)}

    def image_terms(self, batch: Batch, step: int) -> Terms:
        """The terms of the weighted sum, which compare SR with the degradation's target, usually HR itself."""
        sr = batch["sr"]
        given = {name: batch[name] for name in LOSS_INPUTS if name in batch}
        given["hr"] = batch.get("target", batch["hr"])
        # Losses are sums over many pixels: they are taken in full precision.
        with full_precision(sr.device):
            values = self.loss(sr=sr, step=step, **given)
            return {name: Term(value.detach(), self.loss.weights[name] * value) for name, value in values.items()}

    def shares(self, sr: Tensor, terms: Terms, play: Play) -> Terms:
        """Each term's share of the gradient norm at the image, where it is asked for and logged now."""
        if not self.log_gradient_shares or not play.is_logged:
            return {}
        weighted = {name: term.weighted for name, term in terms.items() if term.weighted is not None}
        return {f"{name}_share": Term(sr.new_tensor(share)) for name, share in gradient_shares(weighted, sr).items()}
