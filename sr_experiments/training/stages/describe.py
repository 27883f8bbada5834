"""What depends on how LR was made: the image that SR is compared with, and what a network is told."""

from __future__ import annotations

import torch
from torch import nn

from sr_experiments.degradations import Degradation
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.terms import Batch


class Describe(nn.Module):
    """Asks the degradation that made LR, after all pairs are in their place."""

    @torch.no_grad()
    def forward(self, batch: Batch, step: int) -> Batch:
        """Add `target`, (B, C, H, W), in training, and what the degradation tells about each sample, by name.

        Nothing is added where LR was stored, or made by a degradation of a foreign kind.
        """
        degradation = batch.get("degradation")
        if not isinstance(degradation, Degradation):
            return batch
        with full_precision(batch["hr"].device):
            target = {"target": degradation.target(batch["hr"])} if self.training else {}
            told = degradation.extras(batch["key"]) if "key" in batch else {}
        return {**told, **batch, **target}
