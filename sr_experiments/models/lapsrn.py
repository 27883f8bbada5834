"""LapSRN. Lai et al., "Deep Laplacian Pyramid Networks for ... Super-Resolution", CVPR 2017 (arXiv 1704.03915)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.models.blocks import conv, start_kaiming
from sr_experiments.models.conversion import Converted, Layout, convert
from sr_experiments.models.scales import DOUBLING_SCALES, count_doublings
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

LEAKY = partial(nn.LeakyReLU, 0.2)


class ImageDoubling(nn.ConvTranspose2d):
    """A learned enlargement of the image by 2, each channel on its own, which starts as a bilinear one.

    Args:
        channels: channels of the image.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1, groups=channels, bias=False)
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            self.weight.copy_(taps[:, None] * taps)


class Level(nn.Module):
    """One level of the pyramid: features of twice the size, and what is added to the image there.

    Args:
        upsampler: a learned one, which doubles.
        channels: channels of the image.
        features: channels of the feature maps.
        depth: convolutions before the enlargement.
    """

    def __init__(self, upsampler: UpsamplerFactory, channels: int, features: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [conv(features, features), LEAKY()]
        self.body = nn.Sequential(*layers)
        self.upsample = require_learned(upsampler(channels=features, scale=2, activation=LEAKY), "LapSRN")
        self.residual = conv(features, channels)
        self.enlarge = ImageDoubling(channels)
        for part in (self.body, self.residual):  # the upsampler has a start of its own
            start_kaiming(part)

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, features, h, w) and the image (B, channels, h, w) -> both at (2 h, 2 w)."""
        features = self.upsample(self.body(features))
        return features, self.enlarge(image) + self.residual(features)


class LapSRN(nn.Module):
    """A pyramid that doubles the image level by level and has an image at each (framework: progressive upsampling).

    At x4 on one channel 812,768 weights of convolutions and 814,242 parameters with 3x3 transposed convolutions, the
    published 813K (section 3.1), 32 of them in the enlargement of the image; 870,112 weights with 4x4 ones.

    Args:
        scale: the enlargement: 2, 4 or 8.
        upsampler: a learned one, which doubles the features at each level.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        depth: convolutions at each level (the paper's d; 5 for x8).

    Raises:
        UserError: another scale, or a fixed upsampler.
    """

    framework = "progressive"
    possible_scales = DOUBLING_SCALES

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: int = 64, depth: int = 10
    ) -> None:
        super().__init__()
        levels = count_doublings(scale, "LapSRN")
        self.scale = scale
        self.depth = depth
        self.channels = channels
        self.head = conv(channels, features)
        nn.init.normal_(self.head.weight, std=1e-3)  # so that the first images are those of the plain enlargement
        self.levels = nn.ModuleList(Level(upsampler, channels, features, depth) for _ in range(levels))

    def outputs(self, lr: Tensor) -> list[Tensor]:
        """The image of every level, the smallest first; the last is the network's output.

        Args:
            lr: (B, channels, h, w) in [0, 1].

        Returns:
            Images (B, channels, 2 h, 2 w), (B, channels, 4 h, 4 w), ... up to the scale.
        """
        features, images = F.leaky_relu(self.head(lr), 0.2), [lr]
        for level in self.levels:
            features, image = level(features, images[-1])
            images.append(image)
        return images[1:]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.outputs(lr)[-1]

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of a PyTorch port without biases, github.com/twtygqyy/pytorch-LapSRN, lapsrn.py.

        Its transposed convolutions are 4x4 (upsampler=transposed), its images luma (model.channels=1). Its own files
        hold whole pickled networks, which are not opened; this reads the state dicts of such.
        """
        port = ["conv_input"]
        for level in range(1, len(self.levels) + 1):
            port += [f"convt_F{level}.0.cov_block.{2 * k}" for k in range(self.depth + 1)]
            port += [f"convt_R{level}", f"convt_I{level}"]
        return convert(self, state, [Layout("pytorch-LapSRN", port, has_biases=False)])
