"""A network of this project's own, for quick tries: it learns something useful within a minute on a laptop's CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.models.blocks import ActivationFactory, BlockFactory, ResidualBlock, conv, relu
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class SmallResNet(nn.Module):
    """EDSR's trunk, thin and deep, with ESPCN's ending, added to the bicubic image (framework: post-upsampling).

    All convolutions work on the small image, which makes it cheap; what it learns is what bicubic enlargement lacks.

    Args:
        scale: the enlargement.
        upsampler: a learned one; its last stage makes the image.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        block: makes a block of the trunk.
        activation: makes the activations of the blocks.
        noise: channels of noise that it takes beside LR, to make one of many possible images; 0 for none.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 32,
        blocks: int = 12,
        block: BlockFactory = ResidualBlock,
        activation: ActivationFactory = relu,
        noise: int = 0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.inputs = ("noise",) if noise else ()
        self.input_channels = {"noise": noise}
        self.head = conv(channels + noise, features)
        body = [block(features, activation=activation) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale, out_channels=channels), "SmallResNet")

    def forward(self, lr: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1], and noise (B, noise, h, w) -> (B, channels, scale * h, scale * w)."""
        x = self.head(lr if noise is None else torch.cat([lr, noise], dim=1))
        return self.upsample(x + self.body(x)) + bicubic_upsample(lr, scale=self.scale)
