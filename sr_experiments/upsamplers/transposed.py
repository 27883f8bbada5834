"""Transposed convolution ("deconvolution"): Zeiler et al., 2010; in super-resolution FSRCNN, LapSRN and DBPN."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler, in_stages


class Transposed(Upsampler):
    """Strided transposed convolution; its kernel is a multiple of its stride and overlaps evenly, unless set.

    Args:
        channels: channels of the feature map.
        scale: the enlargement; a power of two is reached by repeated doubling.
        out_channels: channels of the result (default: `channels`).
        activation: made anew for every stage, after the convolution; not applied to a stage that makes the image.
        kernel: kernel size whatever the stride, centred on the first of the pixels that an input pixel becomes.
        overlap: kernel size less stride, an even number; 0 for tiles that do not overlap.
        single_step: one step of `scale` instead of repeated doubling.

    Raises:
        UserError: `kernel` leaves holes or comes with `overlap`, or `overlap` is odd or negative.
    """

    learned = True

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        out_channels: int | None = None,
        activation: Activation | None = None,
        kernel: int | None = None,
        overlap: int | None = None,
        single_step: bool = False,
    ) -> None:
        super().__init__(scale)
        if kernel is not None and overlap is not None:
            raise UserError("upsampler.kernel and upsampler.overlap both decide the kernel size: give one of them.")
        if overlap is not None and (overlap < 0 or overlap % 2):
            raise UserError(f"upsampler.overlap={overlap} must be an even number of at least 0.")

        def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
            if kernel is None:
                # kernel - stride must be even for a centred result
                excess = overlap if overlap is not None else factor * (1 if factor % 2 == 0 else 2)
                size, padding, beyond = factor + excess, excess // 2, 0
            elif kernel < factor:
                raise UserError(f"upsampler.kernel={kernel} leaves holes where a step enlarges by {factor}.")
            else:
                padding = (kernel - 1) // 2
                size, beyond = kernel, factor + 2 * padding - kernel
            return [nn.ConvTranspose2d(channels_in, channels_out, size, factor, padding, output_padding=beyond)]

        self.layers = in_stages(
            stage,
            channels=channels,
            scale=scale,
            out_channels=out_channels,
            activation=activation,
            single_step=single_step,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out_channels, scale * h, scale * w)."""
        return self.layers(x)
