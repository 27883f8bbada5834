"""Fixed interpolation: the image is enlarged before it enters the network (SRCNN, VDSR)."""

from __future__ import annotations

from torch import Tensor

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.upsamplers.base import Activation, Upsampler


class Interpolation(Upsampler):
    """MATLAB's bicubic enlargement (a = -0.5), without weights.

    Args:
        channels: channels of the image (it may have any number).
        scale: the enlargement.
        out_channels: part of every upsampler's signature; a network that needs it refuses a fixed upsampler.
        activation: likewise.
    """

    learned = False

    def __init__(
        self, *, channels: int, scale: int, out_channels: int | None = None, activation: Activation | None = None
    ) -> None:
        super().__init__(scale)

    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        """(B, C, h, w) -> (B, C, scale * h, scale * w), at `scale` or its own."""
        return bicubic_upsample(x, scale=self.scale if scale is None else scale)
