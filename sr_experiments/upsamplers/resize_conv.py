"""Resize, then convolve: Odena et al., "Deconvolution and Checkerboard Artifacts", Distill 2016; EnhanceNet's way."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler, in_stages


class ResizeConv(Upsampler):
    """Interpolate the feature map, then convolve it.

    Args:
        channels: channels of the feature map.
        scale: the enlargement; a power of two is reached by repeated doubling.
        out_channels: channels of the result (default: `channels`).
        activation: made anew for every stage, after the convolution; not applied to a stage that makes the image.
        mode: `nearest` or `bilinear`.

    Raises:
        UserError: `mode` is neither.
    """

    learned = True

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        out_channels: int | None = None,
        activation: Activation | None = None,
        mode: str = "nearest",
    ) -> None:
        super().__init__(scale)
        if mode not in ("nearest", "bilinear"):
            raise UserError(f"upsampler.mode={mode} is unknown: use nearest or bilinear.")

        def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
            enlarge = nn.Upsample(scale_factor=factor, mode=mode)
            return [enlarge, nn.Conv2d(channels_in, channels_out, 3, padding=1)]

        self.layers = in_stages(stage, channels=channels, scale=scale, out_channels=out_channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out_channels, scale * h, scale * w)."""
        return self.layers(x)
