"""EDSR. Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017 (1707.02921)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sr_experiments.models.blocks import (
    ActivationFactory,
    BlockFactory,
    ResidualBlock,
    ShiftMean,
    conv,
    div2k_mean,
    relu,
)
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class EDSR(nn.Module):
    """Residual blocks without normalisation on the small image (framework: post-upsampling).

    At x4: 43,089,923 parameters with 32 blocks of 256 channels, 1,517,571 with the baseline's 16 of 64.

    Args:
        scale: the enlargement.
        upsampler: a learned one.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        residual_scale: factor of every residual (0.1 keeps the wide network stable).
        block: makes a block of the trunk.
        activation: makes the activations of the blocks.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 16,
        residual_scale: float = 1.0,
        block: BlockFactory = ResidualBlock,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.blocks = blocks
        self.channels = channels
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)
        body = [block(features, activation=activation, residual_scale=residual_scale) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "EDSR")
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        x = self.head(self.subtract_mean(lr))
        return self.add_mean(self.tail(self.upsample(x + self.body(x))))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of the authors' EDSR-PyTorch and of BasicSR, both for images in [0, 255].

        github.com/sanghyun-son/EDSR-PyTorch, src/model/edsr.py; github.com/XPixelGroup/BasicSR, edsr_arch.py.

        Raises:
            UserError: they subtract another mean colour than DIV2K's.
        """
        stages = range(len(layers_with_weights(self.upsample)))
        convs = [(n, k) for n in range(self.blocks) for k in (0, 1)]
        authors = ["head.0", *(f"body.{n}.body.{2 * k}" for n, k in convs), f"body.{self.blocks}"]
        authors += [*(f"tail.0.{2 * k}" for k in stages), "tail.1"]
        basicsr = ["conv_first", *(f"body.{n}.conv{k + 1}" for n, k in convs), "conv_after_body"]
        basicsr += [*(f"upsample.{2 * k}" for k in stages), "conv_last"]
        return convert(self, state, [Layout("EDSR-PyTorch", authors, 255), Layout("BasicSR", basicsr, 255)])
