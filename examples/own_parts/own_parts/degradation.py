"""A degradation."""

from __future__ import annotations

from torch import Tensor, nn


class Dots(nn.Module):
    """Takes one pixel of every square of scale x scale.

    Args:
        scale: how many times smaller LR is than HR.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """(B, 3, scale * h, scale * w) -> (B, 3, h, w)."""
        middle = self.scale // 2
        return hr[..., middle :: self.scale, middle :: self.scale].contiguous()
