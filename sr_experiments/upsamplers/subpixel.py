"""Sub-pixel convolution: ESPCN, Shi et al., CVPR 2016 (arXiv 1609.05158); ICNR: Aitken et al., 2017 (1707.02937)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler, in_stages


class SubPixel(Upsampler):
    """Convolve to factor^2 times the channels, then rearrange them into space.

    Args:
        channels: channels of the feature map.
        scale: the enlargement; a power of two is reached by repeated doubling.
        out_channels: channels of the result (default: `channels`).
        activation: made anew for every stage, after the rearrangement; not applied to a stage that makes the image.
        single_step: one step of `scale` instead of repeated doubling, as ESPCN does it.
        icnr: initialise the sub-kernels of one output alike, so that the untrained layer has no checkerboard.
        groups: groups of the convolutions that keep the feature map; one that makes the image mixes all channels.

    Raises:
        UserError: `groups` does not divide the channels.
    """

    learned = True

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        out_channels: int | None = None,
        activation: Activation | None = None,
        single_step: bool = False,
        icnr: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__(scale)
        if groups < 1 or channels % groups:
            raise UserError(f"upsampler.groups={groups} must divide the {channels} channels that it is to enlarge.")

        def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
            parts = groups if channels_in == channels_out else 1
            conv = nn.Conv2d(channels_in, channels_out * factor**2, 3, padding=1, groups=parts)
            if icnr:
                _initialise_alike(conv, factor**2)
            return [conv, nn.PixelShuffle(factor)]

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


@torch.no_grad()
def _initialise_alike(conv: nn.Conv2d, copies: int) -> None:
    # PixelShuffle takes `copies` neighbouring filters for one output channel.
    conv.weight.copy_(conv.weight[::copies].repeat_interleave(copies, dim=0))
    assert conv.bias is not None
    conv.bias.copy_(conv.bias[::copies].repeat_interleave(copies))
