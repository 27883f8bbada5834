"""Feature maps that are steered by a second map: spatial feature transform."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.models.blocks.basic import conv


class FeatureTransform(nn.Module):
    """x * (1 + gamma) + beta, with gamma and beta from a condition at every position ("SFT layer").

    Wang et al., "Recovering Realistic Texture ... by Deep Spatial Feature Transform", CVPR 2018 (arXiv 1804.02815),
    section 3.2; the paper writes gamma for 1 + gamma, which the authors' PyTorch code uses.

    Args:
        features: channels of the feature map.
        condition: channels of the condition.
    """

    def __init__(self, features: int, condition: int) -> None:
        super().__init__()

        def branch() -> nn.Sequential:
            return nn.Sequential(conv(condition, condition, 1), nn.LeakyReLU(0.1), conv(condition, features, 1))

        self.gamma, self.beta = branch(), branch()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, features, h, w) and (B, condition, h, w) -> (B, features, h, w)."""
        return x * (1 + self.gamma(condition)) + self.beta(condition)
