"""EnhanceNet's balance of the two players: Sajjadi et al., ICCV 2017, section 4.2.3 and the supplement's algorithm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError


class Balance(nn.Module):
    """The discriminator is updated only if on the previous batch it was right too seldom, on HR or on generated crops.

    What it did on the previous batch lies in buffers, so that checkpoints have it.

    Args:
        threshold: share of right judgements, in (0, 1], below which the discriminator is updated.

    Raises:
        UserError: `threshold` is out of range.
    """

    accuracies: Tensor

    def __init__(self, threshold: float) -> None:
        super().__init__()
        if not 0 < threshold <= 1:
            raise UserError(f"loss.adversarial.balance={threshold} must lie in (0, 1] (0.9 is usual), or be null.")
        self.threshold = threshold
        self.register_buffer("accuracies", torch.zeros(2))

    def wants_update(self) -> bool:
        """Whether the discriminator is to be updated now."""
        return bool((self.accuracies < self.threshold).any())

    def remember(self, on_real: Tensor, on_fake: Tensor) -> None:
        """Take note of this batch's accuracies; every process must give the same ones."""
        self.accuracies.copy_(torch.stack([on_real, on_fake]))
