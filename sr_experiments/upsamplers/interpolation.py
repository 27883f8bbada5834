"""Fixed interpolation: the image is enlarged before it enters the network (SRCNN, VDSR)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler

MODES = ("bicubic", "bilinear", "nearest")


class Interpolation(Upsampler):
    """Enlargement without weights, as MATLAB's `imresize` does it.

    Args:
        channels: channels of the image (it may have any number).
        scale: the enlargement, a whole number.
        out_channels: part of every upsampler's signature; a network that needs it refuses a fixed upsampler.
        activation: likewise.
        mode: `bicubic` (a = -0.5), `bilinear` or `nearest`.

    Raises:
        UserError: another mode.
    """

    learned = False

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        out_channels: int | None = None,
        activation: Activation | None = None,
        mode: str = "bicubic",
    ) -> None:
        super().__init__(scale)
        if mode not in MODES:
            raise UserError(f"upsampler.mode={mode} is unknown: use {', '.join(MODES[:-1])} or {MODES[-1]}.")
        self.mode = mode

    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        """(B, C, h, w) -> (B, C, scale * h, scale * w), at `scale` or its own."""
        scale = self.scale if scale is None else scale
        if self.mode == "bicubic":
            return bicubic_upsample(x, scale=scale)
        centred = {"align_corners": False} if self.mode == "bilinear" else {}
        return F.interpolate(x, scale_factor=scale, mode=self.mode, **centred)
