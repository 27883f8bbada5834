"""LSGAN: Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017, equation 9."""

from __future__ import annotations

from torch import Tensor

from sr_experiments.objectives.base import Objective


class LeastSquares(Objective):
    """Half the squared distance to 1 for HR crops and to 0 for generated ones."""

    boundary = 0.5

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """((D(HR) - 1)^2 + D(G)^2) / 2."""
        return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """(D(G) - 1)^2 / 2."""
        return 0.5 * ((fake - 1) ** 2).mean()
