"""EnhanceNet. Sajjadi et al., "EnhanceNet: Single Image Super-Resolution ...", ICCV 2017 (arXiv 1612.07919)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.blocks import ActivationFactory, BlockFactory, ResidualBlock, ShiftMean, conv, relu
from sr_experiments.models.conversion import Converted, Layout, convert, from_tensorflow, layers_with_weights
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

MEAN = (0.47614917, 0.45001204, 0.40904046)


def tensorflow_bicubic(image: Tensor, scale: int) -> Tensor:
    """Enlarge as TensorFlow 1's `resize_bicubic` does: a = -0.75, output pixel i at i / scale, the edge repeated.

    Without the customary half pixel the result is shifted by (scale - 1) / 2 output pixels up and to the left.

    Args:
        image: (B, C, h, w), floating point.
        scale: the enlargement, an integer.

    Returns:
        (B, C, scale * h, scale * w).
    """
    offset = torch.arange(scale, dtype=torch.float64) / scale
    distance = (offset[:, None] - torch.arange(-1.0, 3.0)).abs()
    near = 1.25 * distance**3 - 2.25 * distance**2 + 1
    far = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    taps = torch.where(distance <= 1, near, far).to(image)
    # One 4x4 filter for each of the scale * scale places that an output pixel has between its four neighbours.
    filters = torch.einsum("iy,jx->ijyx", taps, taps).reshape(scale**2, 1, 4, 4)
    batch, channels, height, width = image.shape
    padded = F.pad(image, (1, 2, 1, 2), mode="replicate").reshape(batch * channels, 1, height + 3, width + 3)
    with full_precision(image.device):
        phases = F.conv2d(padded, filters)
    return F.pixel_shuffle(phases, scale).reshape(batch, channels, scale * height, scale * width)


SKIPS: dict[str, Callable[..., Tensor]] = {"bicubic": bicubic_upsample, "tensorflow": tensorflow_bicubic}


class EnhanceNet(nn.Module):
    """Residual blocks without normalisation, over a bicubic skip (framework: post-upsampling).

    852,867 parameters at x4 with nearest-neighbour resize convolutions.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by an activation.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        skip: how the image is enlarged that the network adds to: `bicubic` (MATLAB's) or `tensorflow` (TensorFlow 1's,
            shifted, which the published weights were trained with).
        block: makes a block of the trunk.
        activation: makes all activations.

    Raises:
        UserError: a fixed upsampler, or an unknown skip.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 10,
        skip: str = "bicubic",
        block: BlockFactory = ResidualBlock,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        if skip not in SKIPS:
            raise UserError(f"model.skip={skip} is unknown: use {' or '.join(SKIPS)}.")
        self.scale = scale
        self.channels = channels
        self.skip = skip
        mean = MEAN if channels == 3 else (sum(MEAN) / 3,) * channels
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = nn.Sequential(conv(channels, features), activation(features))
        self.body = nn.Sequential(*(block(features, activation=activation) for _ in range(blocks)))
        made = upsampler(channels=features, scale=scale, activation=partial(activation, features))
        self.upsample = require_learned(made, "EnhanceNet")
        self.tail = nn.Sequential(conv(features, features), activation(features), conv(features, channels))

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        features = self.body(self.head(self.subtract_mean(lr)))
        return SKIPS[self.skip](lr, scale=self.scale) + self.tail(self.upsample(features))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the authors' TensorFlow weights: `generator/Conv`, `generator/Conv_1`, ... in the order they run.

        Raises:
            UserError: they are TensorFlow's, but the skip is not.
        """
        published = [f"generator/Conv_{k}" if k else "generator/Conv" for k in range(len(layers_with_weights(self)))]
        state = from_tensorflow(state)
        if f"{published[0]}.weight" in state and self.skip != "tensorflow":
            raise UserError("EnhanceNet's published weights belong to TensorFlow's skip: add model.skip=tensorflow.")
        return convert(self, state, [Layout("EnhanceNet's authors", published)])
