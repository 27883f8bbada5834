"""A score."""

from __future__ import annotations

from torch import Tensor, nn


class ContrastError(nn.Module):
    """How far the contrast of SR is from that of HR: the difference of their standard deviations."""

    higher_is_better = False

    def forward(self, sr: Tensor, hr: Tensor) -> float:
        """Two (1, 3, H, W) images in [0, 1] -> a number."""
        return float((sr.std() - hr.std()).abs())
