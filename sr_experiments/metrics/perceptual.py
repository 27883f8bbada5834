"""Distance of the features of a classifier, where the calibrated LPIPS or DISTS cannot be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.features.feature_network import FeatureNetwork
from sr_experiments.losses.lpips import unit_length


class FeatureDistance(nn.Module):
    """Squared difference of unit-length features, summed over channels, averaged over positions and layers.

    This is the uncalibrated distance of Zhang et al. (CVPR 2018): LPIPS before weights were fitted to people's answers.
    The default layers are used by no loss of this project.

    Args:
        layers: of the classifier.
        architecture: torchvision's name of the classifier.
        weights: `imagenet`, or a file in torchvision's layout.
        setting: the config key of this part, for messages.

    Raises:
        UserError: there is no layer or no such architecture, or `weights` is `random`; by `load`: weights cannot be
            had.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("relu3_3", "relu4_3"),
        architecture: str = "vgg19",
        weights: str | Path = "imagenet",
        setting: str = "scores.parts.vgg19_distance",
    ) -> None:
        super().__init__()
        if not layers:
            raise UserError(f"{setting}.layers names no layer to compare.")
        if str(weights) == "random":
            raise UserError("A distance of random features would measure nothing: use imagenet or a file.")
        self.layers = list(layers)
        self.network = FeatureNetwork(architecture, weights, setting=setting)

    def load(self) -> None:
        """Read the weights, if that has not happened yet.

        Raises:
            UserError: they cannot be had, or there is no such layer.
        """
        self.network.check(self.layers)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Layer -> activations, of unit length, of (B, 3, H, W) in [0, 1]."""
        return {name: unit_length(features) for name, features in self.network(image, self.layers).items()}

    def compare(self, sr_features: Mapping[str, Tensor], hr_features: Mapping[str, Tensor]) -> Tensor:
        """The `features` of two batches -> a scalar, 0 for equal images."""
        parts = [((sr_features[name] - hr_features[name]) ** 2).sum(dim=1).mean() for name in self.layers]
        return torch.stack(parts).mean()

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, 3, H, W) images in [0, 1] -> a scalar."""
        return self.compare(self.features(sr), self.features(hr))
