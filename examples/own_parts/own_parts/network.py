"""A network of one convolution."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class OneConv(nn.Module):
    """A convolution, then an upsampler of any kind.

    Args:
        scale: the enlargement.
        upsampler: made with `channels` and `scale`: (B, channels, h, w) -> (B, channels, scale * h, scale * w).
        features: channels of the feature maps.
    """

    framework = "post"

    def __init__(self, scale: int, upsampler: Callable[..., nn.Module], features: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, features, 5, padding=2)
        self.upsample = upsampler(channels=features, scale=scale)
        self.last_layer = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1] -> (B, 3, scale * h, scale * w)."""
        return self.last_layer(self.upsample(self.head(lr).relu()))
