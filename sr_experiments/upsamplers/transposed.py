"""Transposed convolution ("deconvolution"): Zeiler et al., 2010; in super-resolution FSRCNN, LapSRN and DBPN."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.upsamplers.base import Activation, Upsampler, in_stages


class Transposed(Upsampler):
    """Strided transposed convolution whose kernel is a multiple of its stride, so that it overlaps evenly.

    Args:
        channels: channels of the feature map.
        scale: the enlargement; a power of two is reached by repeated doubling.
        out_channels: channels of the result (default: `channels`).
        activation: made anew for every stage, after the convolution; not applied to a stage that makes the image.
    """

    learned = True

    def __init__(
        self, *, channels: int, scale: int, out_channels: int | None = None, activation: Activation | None = None
    ) -> None:
        super().__init__(scale)

        def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
            # kernel - stride must be even for a centred result
            kernel = factor * (2 if factor % 2 == 0 else 3)
            padding = (kernel - factor) // 2
            return [nn.ConvTranspose2d(channels_in, channels_out, kernel, stride=factor, padding=padding)]

        self.layers = in_stages(stage, channels=channels, scale=scale, out_channels=out_channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out_channels, scale * h, scale * w)."""
        return self.layers(x)
