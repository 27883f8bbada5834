"""Distance of feature maps: Johnson et al., ECCV 2016; SRGAN; EnhanceNet; ESRGAN; SRNTT."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.losses.layers import weighted_layers

Features = Mapping[str, Tensor]
DISTANCES = ("l2", "l1", "frobenius")


class Perceptual(nn.Module):
    """Distance of the activations of chosen layers, weighted and added up.

    SRGAN (Ledig et al., CVPR 2017, equation 5) sums squared differences over positions and divides by W * H. Its
    difference of feature vectors, read literally, is summed over channels (`sum_channels`); ports take the mean over
    channels as well (`mean`), which is smaller by the number of channels. Its features are multiplied by 1 / 12.75,
    the squared distance therefore by (1 / 12.75)^2 = 0.00615: this is the `factor` here, which multiplies the loss.
    The paper wants a VGG loss comparable to the MSE of images in [-1, 1]; on bicubic x4 images that is 0.016, VGG5.4
    times 0.00615 gives 0.23 as a mean and 117 as a sum over channels: the factor belongs to the mean.

    SRNTT (Zhang et al., CVPR 2019, equation 4) sums the Frobenius norms of the channels' differences and divides by the
    volume C * h * w; its released code takes the mean of squares.

    Args:
        layers: layer of the feature network -> weight; `relu5_4` is SRGAN's VGG5.4, `conv5_4` (before ReLU) ESRGAN's.
        distance: `l2`, the squared difference; `l1`, the absolute one; or `frobenius`, the root of a channel's summed
            squares.
        factor: multiplies the sum over layers.
        reduction: `mean`, a sum divided by channels, positions and batch, or `sum_channels`, by positions and batch.

    Raises:
        UserError: `distance` or `reduction` is unknown, or no layer has a weight.
    """

    def __init__(
        self, layers: Mapping[str, float], distance: str = "l2", factor: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise UserError(f"distance={distance} of the perceptual term is unknown: use {', '.join(DISTANCES)}.")
        if reduction not in ("mean", "sum_channels"):
            raise UserError(f"reduction={reduction} of the perceptual term is unknown: use mean or sum_channels.")
        self.layers = weighted_layers(layers, "The perceptual term")
        self.distance = distance
        self.factor = factor
        self.reduction = reduction

    def forward(self, sr_features: Features, hr_features: Features) -> Tensor:
        """Layer -> activation (B, C, h, w) of both images -> a scalar."""
        parts = [weight * self._compare(sr_features[name], hr_features[name]) for name, weight in self.layers.items()]
        return self.factor * torch.stack(parts).sum()

    def _compare(self, sr: Tensor, hr: Tensor) -> Tensor:
        difference = sr - hr
        if self.distance == "frobenius":
            # The gradient of this norm is 0 where the difference is.
            norms = torch.linalg.vector_norm(difference, dim=(-2, -1))
            norms = norms.mean() if self.reduction == "mean" else norms.sum(dim=1).mean()
            return norms / (difference.shape[-2] * difference.shape[-1])
        each = difference.abs() if self.distance == "l1" else difference**2
        return each.mean() if self.reduction == "mean" else each.sum(dim=1).mean()
