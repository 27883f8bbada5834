"""A score of a user's own, of which less is better."""

from __future__ import annotations

from torch import Tensor, nn


class Darkness(nn.Module):
    """How much darker SR is than white."""

    higher_is_better = False

    def forward(self, sr: Tensor) -> float:
        return float(1 - sr.mean())
