"""MSRResNet, the SRResNet of ESRGAN's authors. Wang et al., 2018 (arXiv 1809.00219), and their toolbox BasicSR."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.models.blocks import ActivationFactory, BlockFactory, ResidualBlock, conv, relu, start_small
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

LEAKY = partial(nn.LeakyReLU, 0.1)


class MSRResNet(nn.Module):
    """SRResNet without batch norm, over a bilinear skip (framework: post-upsampling).

    1,517,571 parameters at x4 with sub-pixel convolution. What other toolboxes call SRGAN or SRResNet is often this.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by a leaky ReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        block: makes a block of the trunk.
        activation: makes the activations of the blocks; those around the trunk stay leaky.

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
        block: BlockFactory = ResidualBlock,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.blocks = blocks
        self.head = nn.Sequential(conv(channels, features), LEAKY())
        self.body = nn.Sequential(*(block(features, activation=activation) for _ in range(blocks)))
        self.upsample = require_learned(upsampler(channels=features, scale=scale, activation=LEAKY), "MSRResNet")
        self.tail = nn.Sequential(conv(features, features), LEAKY(), conv(features, channels))
        for part in (self.head, self.body, self.tail):  # the upsampler has a start of its own
            start_small(part)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        skip = F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return skip + self.tail(self.upsample(self.body(self.head(lr))))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of BasicSR (github.com/XPixelGroup/BasicSR, srresnet_arch.py), and of its first years."""
        stages = range(1, len(layers_with_weights(self.upsample)) + 1)
        ups = [f"upconv{k}" for k in stages]
        convs = [(n, c) for n in range(self.blocks) for c in (1, 2)]
        basicsr = ["conv_first", *(f"body.{n}.conv{c}" for n, c in convs), *ups, "conv_hr", "conv_last"]
        early = ["conv_first", *(f"recon_trunk.{n}.conv{c}" for n, c in convs), *ups, "HRconv", "conv_last"]
        return convert(self, state, [Layout("BasicSR", basicsr), Layout("BasicSR of 2019", early)])
