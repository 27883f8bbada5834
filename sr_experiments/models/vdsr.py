"""VDSR. Kim et al., "... Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016 (arXiv 1511.04587)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import conv, start_kaiming
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_fixed
from sr_experiments.upsamplers.base import UpsamplerFactory


class VDSR(nn.Module):
    """Twenty convolutions whose result is added to the image enlarged before (framework: pre-upsampling).

    665,921 parameters on one channel, 664,704 without biases (section 3.1). The weights do not depend on the scale.

    Args:
        scale: the enlargement.
        upsampler: a fixed one; it stands in front of the network.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        layers: number of convolutions, at least 2.

    Raises:
        UserError: a learned upsampler, or fewer than two layers.
    """

    framework = "pre"

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: int = 64, layers: int = 20
    ) -> None:
        super().__init__()
        if layers < 2:
            raise UserError(f"model.layers={layers} is too few: VDSR takes at least 2.")
        self.scale = scale
        self.channels = channels
        self.upsample = require_fixed(upsampler(channels=channels, scale=scale), "VDSR")
        body: list[nn.Module] = [conv(channels, features), nn.ReLU()]
        for _ in range(layers - 2):
            body += [conv(features, features), nn.ReLU()]
        self.body = nn.Sequential(*body, conv(features, channels))
        start_kaiming(self.body)

    def forward(self, lr: Tensor, scale: int | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w), at `scale` or the configured one."""
        enlarged = self.upsample(lr, scale)
        return enlarged + self.body(enlarged)

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of a PyTorch port without biases, github.com/twtygqyy/pytorch-vdsr, vdsr.py.

        Its own files hold whole pickled networks, which are not opened; this reads the state dicts of such.
        """
        layers = len(layers_with_weights(self.body))
        port = ["input", *(f"residual_layer.{k}.conv" for k in range(layers - 2)), "output"]
        first = [f"features.{2 * k}" for k in range(layers)]
        return convert(self, state, [Layout("pytorch-vdsr", names, has_biases=False) for names in (port, first)])
