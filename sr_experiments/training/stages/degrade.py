"""LR from HR, on the device."""

from __future__ import annotations

import torch
from torch import nn

from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.terms import Batch


class Degrade(nn.Module):
    """Makes LR where the data bring none and no stage before has made it.

    Args:
        degradation: (hr, key) -> lr.
    """

    def __init__(self, degradation: nn.Module) -> None:
        super().__init__()
        self.degradation = degradation

    @torch.no_grad()
    def forward(self, batch: Batch, step: int) -> Batch:
        """Add `lr`; `degradation` says what made it, for the stages that follow."""
        if "lr" in batch:
            return batch
        with full_precision(batch["hr"].device):
            lr = self.degradation(batch["hr"], batch.get("key"))
        return {**batch, "lr": lr, "degradation": self.degradation}
