"""Luma for networks of one channel."""

from __future__ import annotations

from torch import nn

from sr_experiments.inference.colour import training_images
from sr_experiments.training.terms import Batch


class Luma(nn.Module):
    """Leaves luma alone of training images; evaluations are in colour, with the chroma of bicubic enlargement."""

    def forward(self, batch: Batch, step: int) -> Batch:
        """The batch, whose images are (B, 1, H, W) in training."""
        return training_images(batch) if self.training else batch
