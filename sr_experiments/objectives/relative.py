"""How often a discriminator is right whose logits mean something only beside each other."""

from __future__ import annotations

from torch import Tensor


def relative_accuracies(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of HR crops above the mean generated one, and of generated ones below the mean HR crop, in [0, 1]."""
    return (real > fake.mean()).float().mean(), (fake < real.mean()).float().mean()
