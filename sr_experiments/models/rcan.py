"""RCAN. Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", ECCV 2018.

arXiv 1807.02758.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import (
    ActivationFactory,
    BlockFactory,
    ChannelAttention,
    ResidualBlock,
    ShiftMean,
    conv,
    div2k_mean,
    relu,
)
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class Residual(nn.Module):
    """x + body(x).

    Args:
        body: keeps the shape.
    """

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + self.body(x)


class RCAN(nn.Module):
    """Residual groups of residual blocks with channel attention on the small image (framework: post-upsampling).

    15,592,355 parameters at x4, 15,444,643 at x2, 15,629,283 at x3, 15,740,067 at x8 (section 3).

    Args:
        scale: the enlargement.
        upsampler: a learned one.
        channels: channels of the image.
        features: channels of the feature maps.
        groups: number of residual groups.
        blocks: residual blocks in a group.
        reduction: how many times narrower the layer inside the attention of the paper's block is (the paper's 16);
            an option of the block where one is given.
        block: makes a block of a group; None for the paper's, a residual block with channel attention.
        activation: makes the activations of the blocks.

    Raises:
        UserError: a fixed upsampler, a reduction that leaves no channel, or one beside a block.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        groups: int = 10,
        blocks: int = 20,
        reduction: int | None = None,
        block: BlockFactory | None = None,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.groups, self.blocks = groups, blocks
        self.channels = channels
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)

        if block is None:
            attention = partial(ChannelAttention, reduction=16 if reduction is None else reduction)
            block = partial(ResidualBlock, context=attention)
        elif reduction is not None:
            raise UserError(f"model.reduction={reduction} is an option of the block: set block.context.reduction.")

        def group() -> Residual:
            inside = [block(features, activation=activation) for _ in range(blocks)]
            return Residual(*inside, conv(features, features))

        self.body = Residual(*(group() for _ in range(groups)), conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "RCAN")
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        features = self.body(self.head(self.subtract_mean(lr)))
        return self.add_mean(self.tail(self.upsample(features)))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of the authors, whose layout is EDSR-PyTorch's, and of BasicSR, for images in [0, 255].

        github.com/yulunzhang/RCAN, model/rcan.py; github.com/XPixelGroup/BasicSR, rcan_arch.py.

        Raises:
            UserError: they subtract another mean colour than DIV2K's.
        """
        stages = range(len(layers_with_weights(self.upsample)))
        authors, basicsr = ["head.0"], ["conv_first"]
        for g in range(self.groups):
            for b in range(self.blocks):
                authors += [f"body.{g}.body.{b}.body.{layer}" for layer in ("0", "2", "3.conv_du.0", "3.conv_du.2")]
                inside = f"body.{g}.residual_group.{b}.rcab"
                basicsr += [f"{inside}.{layer}" for layer in ("0", "2", "3.attention.1", "3.attention.3")]
            authors += [f"body.{g}.body.{self.blocks}"]
            basicsr += [f"body.{g}.conv"]
        authors += [f"body.{self.groups}", *(f"tail.0.{2 * k}" for k in stages), "tail.1"]
        basicsr += ["conv_after_body", *(f"upsample.{2 * k}" for k in stages), "conv_last"]
        return convert(self, state, [Layout("EDSR-PyTorch", authors, 255), Layout("BasicSR", basicsr, 255)])
