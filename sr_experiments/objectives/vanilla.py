"""The first objective: Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.objectives.base import Objective


class Vanilla(Objective):
    """Binary cross-entropy on logits; the generator's loss is the non-saturating -log D(G).

    Args:
        label_smoothing: how far the target of HR crops lies below 1 (one-sided: Salimans et al., NeurIPS 2016).

    Raises:
        UserError: `label_smoothing` is not in [0, 0.5).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 0.5:
            raise UserError(f"label_smoothing={label_smoothing} must be at least 0 and below 0.5 (0.1 is usual).")
        self.real_label = 1 - label_smoothing

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log D(HR) - log(1 - D(G)), not halved."""
        on_real = F.binary_cross_entropy_with_logits(real, torch.full_like(real, self.real_label))
        return on_real + F.softplus(fake).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log D(G)."""
        return F.softplus(-fake).mean()
