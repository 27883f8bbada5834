"""SRMD. Zhang et al., "Learning a Single Convolutional Super-Resolution Network for Multiple Degradations", CVPR 2018.

arXiv 1712.06116.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class SRMD(nn.Module):
    """Twelve convolutions of the small image and maps that say how it was degraded (framework: post-upsampling).

    1,553,200 parameters at x4 on colour images with the single-step sub-pixel convolution, without batch norm as in the
    authors' PyTorch code (section 3).

    Args:
        scale: the enlargement.
        upsampler: a learned one; its last stage makes the image.
        channels: channels of the image.
        features: channels of the feature maps.
        layers: number of convolutions, the upsampler's included, at least 2.
        maps: channels of the degradation map: the blur kernel's principal components (15) and the noise level (1).

    Raises:
        UserError: fewer than two layers, or a fixed upsampler.
    """

    framework = "post"
    inputs = ("degradation_map",)

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 128,
        layers: int = 12,
        maps: int = 16,
    ) -> None:
        super().__init__()
        if layers < 2:
            raise UserError(f"model.layers={layers} is too few: SRMD takes at least 2.")
        self.scale = scale
        self.channels = channels
        self.maps = maps
        self.input_channels = {"degradation_map": maps}
        body: list[nn.Module] = [conv(channels + maps, features), nn.ReLU()]
        for _ in range(layers - 2):
            body += [conv(features, features), nn.ReLU()]
        self.body = nn.Sequential(*body)
        self.upsample = require_learned(upsampler(channels=features, scale=scale, out_channels=channels), "SRMD")

    def forward(self, lr: Tensor, degradation_map: Tensor | None = None) -> Tensor:
        """Enlarge.

        Args:
            lr: (B, channels, h, w) in [0, 1].
            degradation_map: (B, maps), the same everywhere in an image, or (B, maps, h, w).

        Returns:
            (B, channels, scale * h, scale * w).

        Raises:
            UserError: the degradation map is missing or of another shape.
        """
        everywhere = (len(lr), self.maps, *lr.shape[2:])
        if degradation_map is not None and degradation_map.shape == everywhere[:2]:
            degradation_map = degradation_map[:, :, None, None].expand(everywhere)
        if degradation_map is None or degradation_map.shape != everywhere:
            given = (
                "none was given"
                if degradation_map is None
                else f"that given has the shape {tuple(degradation_map.shape)}"
            )
            raise UserError(
                f"SRMD needs a degradation map of the shape {everywhere[:2]} or {everywhere}, as a degradation that "
                f"knows its blur and noise gives it; {given}."
            )
        return self.upsample(self.body(torch.cat([lr, degradation_map], dim=1)))
