"""A term of a loss."""

from __future__ import annotations

from torch import Tensor, nn


class Edges(nn.Module):
    """Mean absolute difference of the horizontal and vertical slopes of SR and HR."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images -> a scalar."""
        return (sr.diff(dim=-1) - hr.diff(dim=-1)).abs().mean() + (sr.diff(dim=-2) - hr.diff(dim=-2)).abs().mean()
