"""The relativistic average objective: Jolicoeur-Martineau, ICLR 2019; in super-resolution: ESRGAN."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sr_experiments.objectives.base import Objective
from sr_experiments.objectives.relative import relative_accuracies


class RelativisticAverage(Objective):
    """Asks whether an HR crop is more real than the mean generated one, and the other way round.

    Losses are halved as in ESRGAN's code. Means are over the batch part at hand, of all processes; there of one.
    """

    needs_real = True
    needs_batch = True

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """(-log s(D(HR) - mean D(G)) - log(1 - s(D(G) - mean D(HR)))) / 2, s the sigmoid."""
        return 0.5 * (F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The discriminator's loss with the labels exchanged."""
        assert real is not None
        return 0.5 * (F.softplus(real.mean() - fake).mean() + F.softplus(real - fake.mean()).mean())

    def accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Beside the other images' mean."""
        return relative_accuracies(real, fake)
