"""What differs between kinds of training: what one update does, and how an image is enlarged."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sr_experiments.inference.colour import in_colour
from sr_experiments.inputs.of_network import side_inputs
from sr_experiments.losses import WeightedSum
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.terms import Batch, Values


class Recipe(nn.Module, ABC):
    """A kind of training.

    What it needs from a batch, a stage puts there. Weights change in `Play.learn` alone, so that a recipe knows nothing
    of devices, processes, precision, accumulation, clipping or averages.

    Attributes:
        player: the network that is evaluated, and whose updates count as steps.
        loss: what it is trained with, if that is a weighted sum of terms.
        per_image: whether it trains on each image that it enlarges, and not on training photographs.
    """

    loss: WeightedSum | None
    per_image = False

    def __init__(self, player: Player) -> None:
        super().__init__()
        self.player = player
        self.loss = None

    def players(self) -> list[Player]:
        """All players, the counting one first."""
        found = [module for module in self.modules() if isinstance(module, Player)]
        return sorted(found, key=lambda player: not player.counts)

    @abstractmethod
    def update(self, parts: list[Batch], play: Play) -> Values:
        """One generator update, and whatever else belongs to it.

        Args:
            parts: of a prepared batch; the gradients of all make one update.
            play: which update it is, and the way to change weights.

        Returns:
            Name -> what is logged; `loss` among them.
        """

    def enlarge(self, batch: Batch) -> Tensor:
        """What the evaluated network makes of a prepared batch in colour, (B, 3, H, W), not clipped."""
        return enlarge(self.player.evaluated, batch)

    def facts(self, step: int) -> dict[str, float]:
        """What is logged beside the values of the update after `step` others: weights, learning rates."""
        rates = {f"{player.prefix}learning_rate": player.learning_rate for player in self.players()}
        weights = {} if self.loss is None else self.loss.weights
        return {**{f"{name}_weight": weight for name, weight in weights.items()}, **rates}


def enlarge(network: nn.Module, batch: Batch) -> Tensor:
    """What a network, on RGB or luma, makes of a prepared batch in colour, (B, 3, H, W), not clipped."""
    return in_colour(network)(batch["lr"], **side_inputs(network, batch))
