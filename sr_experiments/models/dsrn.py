"""DSRN. Han et al., "Image Super-Resolution via Dual-State Recurrent Networks", CVPR 2018 (arXiv 1805.02704)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class DSRN(nn.Module):
    """A small and a large state that feed each other over seven steps (framework: iterative up- and downsampling).

    731,649 parameters at x2 on one channel, as in the authors' released code (section 3): links within a state of two
    convolutions, upwards by a transposed convolution, downwards by the mean.

    Args:
        scale: the enlargement.
        upsampler: a learned one, on the way from the small state to the large one.
        channels: channels of the image.
        features: channels of both states.
        steps: steps over which the states are unrolled, at least 3 (the paper's T).

    Raises:
        UserError: too few steps, or a fixed upsampler.
    """

    framework = "iterative"

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: int = 128, steps: int = 7
    ) -> None:
        super().__init__()
        if steps < 3:
            raise UserError(f"model.steps={steps} is too few: DSRN takes at least 3 to use all of its links.")
        self.scale = scale
        self.channels = channels
        self.steps = steps
        half = features // 2
        self.head = nn.Sequential(conv(channels, half), nn.ReLU(), conv(half, features), nn.ReLU())
        self.small_link = nn.Sequential(conv(features, features), nn.ReLU(), conv(features, features))
        self.large_link = nn.Sequential(conv(features, features), nn.ReLU(), conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "DSRN")
        self.tail = conv(features, channels)

    def large_states(self, lr: Tensor) -> list[Tensor]:
        """The large state at each step but the first, when there is none yet."""
        small, states = self.head(lr), []
        large: Tensor | None = None
        for _ in range(self.steps - 1):
            next_small, next_large = small + self.small_link(small), self.upsample(small)
            if large is not None:
                next_small = next_small + F.avg_pool2d(large, self.scale)
                next_large = next_large + large + self.large_link(large)
            small, large = F.relu(next_small), F.relu(next_large)
            states.append(large)
        return states

    def outputs(self, lr: Tensor) -> list[Tensor]:
        """The image of every large state, and last their mean, which is the network's output.

        Args:
            lr: (B, channels, h, w) in [0, 1].

        Returns:
            `steps` images (B, channels, scale * h, scale * w).
        """
        images = [self.tail(state) for state in self.large_states(lr)]
        return [*images, torch.stack(images).mean(0)]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.tail(torch.stack(self.large_states(lr)).mean(0))
