"""SRResNet, the generator of SRGAN. Ledig et al., CVPR 2017 (arXiv 1609.04802), figure 4."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from sr_experiments.models.blocks import ActivationFactory, BlockFactory, ResidualBlock, conv, prelu
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

BLOCK = partial(ResidualBlock, norm=nn.BatchNorm2d)


class SRResNet(nn.Module):
    """Residual blocks with batch norm and PReLU on the small image (framework: post-upsampling).

    1,549,462 parameters at x4.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by an activation.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        block: makes a block of the trunk.
        activation: makes all activations.

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
        block: BlockFactory = BLOCK,
        activation: ActivationFactory = prelu,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.blocks = blocks
        self.head = nn.Sequential(conv(channels, features, 9), activation(features))
        body = [block(features, activation=activation) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv(features, features), nn.BatchNorm2d(features))
        made = upsampler(channels=features, scale=scale, activation=partial(activation, features))
        self.upsample = require_learned(made, "SRResNet")
        self.tail = conv(features, channels, 9)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        x = self.head(lr)
        return self.tail(self.upsample(x + self.body(x)))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of a PyTorch port, github.com/Lornatang/SRGAN-PyTorch: `conv1.0`, `trunk.0.rcb.0`, ...

        Its convolutions in front of a batch norm have no bias, which is a bias of zero.
        """
        stages = range(len(layers_with_weights(self.upsample)) // 2)
        port = ["conv1.0", "conv1.1", *(f"trunk.{n}.rcb.{k}" for n in range(self.blocks) for k in range(5))]
        port += ["conv2.0", "conv2.1", *(f"upsampling.{n}.upsample_block.{k}" for n in stages for k in (0, 2)), "conv3"]
        renamed, source = convert(self, state, [Layout("SRGAN-PyTorch", port)])
        in_body = [f"body.{name}" for name, layer in self.body.named_modules() if isinstance(layer, nn.Conv2d)]
        if not any(f"{name}.bias" in renamed for name in in_body):
            weights = {name: renamed[f"{name}.weight"] for name in in_body if f"{name}.weight" in renamed}
            renamed |= {f"{name}.bias": weight.new_zeros(len(weight)) for name, weight in weights.items()}
        return Converted(renamed, source)
