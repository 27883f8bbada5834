"""WGAN-GP: Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017, equation 3."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.objectives.base import Objective
from sr_experiments.objectives.gradients import input_gradients
from sr_experiments.objectives.relative import relative_accuracies


class WassersteinGP(Objective):
    """The difference of mean logits, with a penalty that keeps the discriminator's slope at 1.

    The penalty is one of single samples, for which a discriminator with batch normalisation does not fit (the paper,
    section 4): take one with `norm: instance`, `spectral` or `none`.

    Args:
        penalty_weight: the paper's lambda.

    Raises:
        UserError: `penalty_weight` is negative.
    """

    needs_batch = True  # its accuracies, which may decide about the discriminator's next update

    def __init__(self, penalty_weight: float = 10.0) -> None:
        if penalty_weight < 0:
            raise UserError(f"The penalty_weight of WGAN-GP must not be negative, but is {penalty_weight}.")
        self.penalty_weight = penalty_weight

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """D(G) - D(HR)."""
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-D(G)."""
        return -fake.mean()

    def penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor | None:
        """`penalty_weight` * (|gradient of D| - 1)^2 between a sample's two images; the norm is over all of C, H, W."""
        share = mix.to(real.dtype).view(-1, 1, 1, 1)
        gradients = input_gradients(discriminator, share * real + (1 - share) * fake)
        norms = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
        return self.penalty_weight * ((norms - 1) ** 2).mean()

    def accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Beside the other images' mean, since the logits have no zero of their own."""
        return relative_accuracies(real, fake)
