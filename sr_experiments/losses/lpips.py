"""LPIPS: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.features.feature_network import FeatureNetwork
from sr_experiments.models.weights import read_checkpoint

# name -> torchvision's architecture and the layers that are compared, first to last
BACKBONES = {
    "alex": ("alexnet", ("features.1", "features.4", "features.7", "features.9", "features.11")),
    "vgg": ("vgg16", ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")),
    "squeeze": ("squeezenet1_1", tuple(f"features.{index}" for index in (1, 4, 7, 9, 10, 11, 12))),
}


class LPIPS(nn.Module):
    """Weighted squared difference of unit-length features, version 0.1, averaged over the batch.

    The linear weights are those that the package `lpips` carries; the backbone's come from torchvision or a file and
    are never random.

    Args:
        net: `alex` (the literature's choice for measuring), `vgg` (for training) or `squeeze`.
        weights: `imagenet`, or a file with the backbone's weights in torchvision's layout.
        setting: the config key of this part, for messages.

    Raises:
        UserError: `net` is unknown, or `weights` is `random`; by `load`: weights cannot be had.
    """

    def __init__(
        self, net: str = "vgg", weights: str | Path = "imagenet", setting: str = "loss.terms.NAME.term"
    ) -> None:
        super().__init__()
        if net not in BACKBONES:
            raise UserError(f"net={net} of LPIPS is unknown: use {', '.join(BACKBONES)}.")
        if str(weights) == "random":
            raise UserError("LPIPS on random weights would measure nothing: use imagenet or a file.")
        self.net = net
        architecture, self.taps = BACKBONES[net]
        # Not called `layers`: these are its own, not those of the feature network that terms share.
        self.backbone = FeatureNetwork(architecture, weights, setting=setting)
        self._linear: list[Tensor] = []

    def load(self) -> None:
        """Read all weights, if that has not happened yet.

        Raises:
            UserError: they cannot be had.
        """
        self.backbone.load()
        if not self._linear:
            spec = find_spec("lpips")
            if spec is None or spec.origin is None:
                raise UserError("LPIPS takes its linear weights from the package lpips: pip install lpips.")
            state = read_checkpoint(Path(spec.origin).parent / "weights" / "v0.1" / f"{self.net}.pth")
            self._linear = [state[f"lin{index}.model.1.weight"] for index in range(len(self.taps))]

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, 3, H, W) images in [0, 1] -> a scalar, 0 for equal images."""
        sr_features = self.features(sr)
        with torch.no_grad():
            hr_features = self.features(hr)
        return self.compare(sr_features, hr_features)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Layer -> activations, of unit length, of (B, 3, H, W) in [0, 1]."""
        self.load()
        return {name: unit_length(features) for name, features in self.backbone(image, self.taps).items()}

    def compare(self, sr_features: Mapping[str, Tensor], hr_features: Mapping[str, Tensor]) -> Tensor:
        """The `features` of two batches -> a scalar."""
        total = torch.zeros(())
        for name, linear in zip(self.taps, self._linear, strict=True):
            squared = (sr_features[name] - hr_features[name]) ** 2
            total = total.to(squared) + (squared * linear.to(squared)).sum(dim=1).mean(dim=(1, 2))
        return total.mean()


def unit_length(features: Tensor) -> Tensor:
    """Scale the feature vector of every position of (B, C, h, w) to length 1; a zero vector stays so."""
    # Unlike the root of a sum of squares, this norm has a finite gradient at 0.
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + 1e-10)
