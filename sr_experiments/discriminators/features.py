"""A discriminator of feature maps, as that beside the image discriminator of SRFeat (Park et al., ECCV 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.discriminators.blocks import conv_layer


class FeatureDiscriminator(nn.Module):
    """Two convolutions, the mean over all places, and two dense layers.

    Args:
        features: channels of the feature maps: 512 of VGG19's relu5_4.
        channels: of the convolutions.
        norm: of the convolutions: `batch`, `instance`, `spectral` or `none`.
        hidden: width of the dense layer.
    """

    def __init__(self, features: int, channels: int = 512, norm: str = "batch", hidden: int = 1024) -> None:
        super().__init__()
        self.features = features
        self.body = nn.Sequential(
            conv_layer(features, channels, norm=norm), conv_layer(channels, channels, stride=2, norm=norm)
        )
        self.head = nn.Sequential(nn.Linear(channels, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, features, h, w) -> logits (B, 1)."""
        return self.head(self.body(features).mean(dim=(-2, -1)))
