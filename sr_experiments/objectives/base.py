"""What every adversarial objective answers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Objective(ABC):
    """Losses of the two players, each the mean over a batch (and over the places of a patch discriminator).

    Logits are (B, 1) or (B, 1, h, w), of HR crops (`real`) and of what the generator made (`fake`).

    Attributes:
        needs_real: whether the generator's loss looks at the logits of HR crops, too.
        needs_batch: whether it compares a logit with those of the whole batch, which may be spread over processes.
        boundary: the logit above which the discriminator takes an image for real.
    """

    needs_real = False
    needs_batch = False
    boundary = 0.0

    @abstractmethod
    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits -> a scalar that the discriminator lowers."""

    @abstractmethod
    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Logits -> a scalar that the generator lowers; `real` is given where `needs_real` says so."""

    def penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor | None:
        """A further loss of the discriminator on the images themselves; None for none.

        Args:
            discriminator: (B, 3, c, c) -> logits.
            real: (B, 3, c, c) HR crops.
            fake: (B, 3, c, c) what the generator made.
            mix: (B,) in [0, 1), random numbers that belong to the samples.
        """
        return None

    def accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The shares of HR crops and of generated ones that the discriminator takes for what they are, in [0, 1]."""
        return (real > self.boundary).float().mean(), (fake < self.boundary).float().mean()
