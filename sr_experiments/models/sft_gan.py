"""SFT-GAN's generator. Wang et al., "Recovering Realistic Texture ...", CVPR 2018 (arXiv 1804.02815)."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import FeatureTransform, conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class TransformBlock(nn.Module):
    """x + two convolutions, each with a feature transform in front.

    Args:
        features: channels of the feature map.
        condition: channels of the condition.
    """

    def __init__(self, features: int, condition: int) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(FeatureTransform(features, condition) for _ in range(2))
        self.convs = nn.ModuleList(conv(features, features) for _ in range(2))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, features, h, w) and (B, condition, h, w) -> (B, features, h, w)."""
        inner = self.activation(self.convs[0](self.transforms[0](x, condition)))
        return x + self.convs[1](self.transforms[1](inner, condition))


class SFTGAN(nn.Module):
    """SRResNet's trunk, steered at every position by the kinds of things that are seen (framework: post-upsampling).

    1,833,763 parameters at x4 (section 3), without the network that makes the map of probabilities.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by a ReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        classes: channels of the map of probabilities (the paper's: seven kinds of outdoor textures, and the rest).
        condition: channels of the condition that all layers share.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"
    inputs = ("condition",)

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 16,
        classes: int = 8,
        condition: int = 32,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.classes = classes
        self.input_channels = {"condition": classes}
        wide = 4 * condition
        # The map has the size of the large image: the first convolution brings it to that of the small one.
        layers: list[nn.Module] = [nn.Conv2d(classes, wide, scale, stride=scale), nn.LeakyReLU(0.1)]
        for _ in range(3):
            layers += [conv(wide, wide, 1), nn.LeakyReLU(0.1)]
        self.conditions = nn.Sequential(*layers, conv(wide, condition, 1))
        self.head = conv(channels, features)
        self.blocks = nn.ModuleList(TransformBlock(features, condition) for _ in range(blocks))
        self.transform = FeatureTransform(features, condition)
        self.body_end = conv(features, features)
        self.upsample = require_learned(upsampler(channels=features, scale=scale, activation=nn.ReLU), "SFTGAN")
        self.tail = nn.Sequential(conv(features, features), nn.ReLU(), conv(features, channels))

    def forward(self, lr: Tensor, condition: Tensor | None = None) -> Tensor:
        """Enlarge.

        Args:
            lr: (B, channels, h, w) in [0, 1].
            condition: probabilities of the classes, (B, classes, scale * h, scale * w) in [0, 1].

        Returns:
            (B, channels, scale * h, scale * w).

        Raises:
            UserError: the condition is missing or of another shape.
        """
        expected = (len(lr), self.classes, self.scale * lr.shape[2], self.scale * lr.shape[3])
        if condition is None or condition.shape != expected:
            given = "none was given" if condition is None else f"that given has the shape {tuple(condition.shape)}"
            raise UserError(f"SFTGAN needs a condition, class probabilities of the shape {expected}; {given}.")
        shared = self.conditions(condition)
        shallow = features = self.head(lr)
        for block in self.blocks:
            features = block(features, shared)
        features = shallow + self.body_end(self.transform(features, shared))
        return self.tail(self.upsample(features))
