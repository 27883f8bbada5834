"""SAN. Dai et al., "Second-order Attention Network for Single Image Super-Resolution", CVPR 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import (
    ActivationFactory,
    BlockFactory,
    RegionNonLocal,
    ResidualBlock,
    SecondOrderAttention,
    ShiftMean,
    conv,
    div2k_mean,
    relu,
)
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

NARROWER = 8  # how many times narrower positions are compared than the features are


class AttentionGroup(nn.Module):
    """x + blocks, second-order channel attention and a convolution.

    Args:
        features: channels of the feature map.
        blocks: its blocks.
        reduction: how many times narrower the layer inside the attention is.
    """

    def __init__(self, features: int, blocks: list[nn.Module], reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*blocks, SecondOrderAttention(features, reduction), conv(features, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + self.body(x)


class SAN(nn.Module):
    """Groups with second-order attention between two looks around on the small image (framework: post-upsampling).

    15,822,444 parameters at x4 (section 3; published: 15.7M). The authors' code has 36,928 more, in a convolution that
    it never applies. The two looks around share their weights, as there.

    Args:
        scale: the enlargement.
        upsampler: a learned one.
        channels: channels of the image.
        features: channels of the feature maps.
        groups: number of groups.
        blocks: residual blocks in a group.
        reduction: how many times narrower the layer inside the attention is.
        block: makes a block of a group.
        activation: makes the activations of the blocks.

    Raises:
        UserError: a fixed upsampler, or a reduction that leaves no channel.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        groups: int = 20,
        blocks: int = 10,
        reduction: int = 16,
        block: BlockFactory = ResidualBlock,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)
        self.look_around = RegionNonLocal(features, max(features // NARROWER, 1))

        def group() -> AttentionGroup:
            inside = [block(features, activation=activation) for _ in range(blocks)]
            return AttentionGroup(features, inside, reduction)

        self.groups = nn.ModuleList(group() for _ in range(groups))
        self.share = nn.Parameter(torch.zeros(1))  # how much of what the groups began with is added after each
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "SAN")
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        shallow = self.head(self.subtract_mean(lr))
        source = features = self.look_around(shallow)
        for group in self.groups:
            features = group(features) + self.share * source
        features = shallow + self.look_around(features)
        return self.add_mean(self.tail(self.upsample(features)))
