"""The hinge objective: Lim and Ye, Geometric GAN, 2017; with spectral normalisation: Miyato et al., ICLR 2018."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sr_experiments.objectives.base import Objective


class Hinge(Objective):
    """The discriminator wants a margin of 1 on either side, the generator as high a logit as it can get."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 - D(HR)) + max(0, 1 + D(G))."""
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-D(G)."""
        return -fake.mean()
