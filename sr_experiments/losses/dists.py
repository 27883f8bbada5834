"""DISTS: Ding et al., Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.features.feature_network import FeatureNetwork
from sr_experiments.models.weights import read_checkpoint

LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
CHANNELS = (3, 64, 128, 256, 512, 512)  # the image itself counts as a layer
STABLE = 1e-6


class L2Pool(nn.Module):
    """Root of the Hann-weighted mean of squares around every second position: pooling that does not alias.

    Args:
        channels: of the feature map.
    """

    window: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        side = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("window", (side[:, None] * side).repeat(channels, 1, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, ceil(h / 2), ceil(w / 2))."""
        squares = F.conv2d(features**2, self.window, stride=2, padding=1, groups=self.window.shape[0])
        return torch.sqrt(squares + 1e-12)


class L2PooledVGG16(FeatureNetwork):
    """VGG16 with its max pooling replaced by L2 pooling.

    Args:
        weights: see `FeatureNetwork`.
        setting: see `FeatureNetwork`.
    """

    def __init__(self, weights: str | Path, setting: str) -> None:
        super().__init__("vgg16", weights, setting=setting)

    def build(self) -> nn.Module:
        """Make the classifier and replace its pooling."""
        network: Any = super().build()
        channels = 3
        for index, layer in enumerate(network.features):
            if isinstance(layer, nn.Conv2d):
                channels = layer.out_channels
            elif isinstance(layer, nn.MaxPool2d):
                network.features[index] = L2Pool(channels)
        return network


class DISTS(nn.Module):
    """1 - weighted similarity of the means (texture) and the covariances (structure) of feature maps.

    Args:
        weights: of VGG16: `imagenet`, or a file in torchvision's layout.
        calibration: a file with `alpha` and `beta`, the authors' weights of the 1475 channels; None for the copy that
            torchmetrics 1.8 and later carry.
        setting: the config key of this part, for messages.

    Raises:
        UserError: `weights` is `random`; by `load`: weights cannot be had.
    """

    def __init__(
        self,
        weights: str | Path = "imagenet",
        calibration: str | Path | None = None,
        setting: str = "loss.terms.NAME.term",
    ) -> None:
        super().__init__()
        if str(weights) == "random":
            raise UserError("DISTS on random weights would measure nothing: use imagenet or a file.")
        self.calibration = calibration
        self.setting = setting
        self.backbone = L2PooledVGG16(weights, setting=setting)
        self._channel_weights: list[tuple[Tensor, Tensor]] = []

    def load(self) -> None:
        """Read all weights, if that has not happened yet.

        Raises:
            UserError: they cannot be had.
        """
        self.backbone.load()
        if not self._channel_weights:
            self._channel_weights = channel_weights(read_checkpoint(self._calibration_file()))

    def _calibration_file(self) -> Path:
        if self.calibration is not None:
            return Path(self.calibration).expanduser()
        spec = find_spec("torchmetrics")
        if spec is not None and spec.origin is not None:
            file = Path(spec.origin).parent / "functional" / "image" / "dists_models" / "weights.pt"
            if file.is_file():
                return file
        raise UserError(
            "DISTS needs its authors' alpha and beta: install torchmetrics 1.8 or later, which carries them, or name "
            f"their file with {self.setting}.calibration=FILE."
        )

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, 3, H, W) images in [0, 1] -> a scalar, 0 for equal images."""
        sr_features = self.features(sr)
        with torch.no_grad():
            hr_features = self.features(hr)
        return self.compare(sr_features, hr_features)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Layer -> activations of (B, 3, H, W) in [0, 1]; the image itself is the first layer."""
        self.load()
        return {"image": image, **self.backbone(image, LAYERS)}

    def compare(self, sr_features: Mapping[str, Tensor], hr_features: Mapping[str, Tensor]) -> Tensor:
        """The `features` of two batches -> a scalar."""
        similarity = torch.zeros(())
        for name, (alpha, beta) in zip(("image", *LAYERS), self._channel_weights, strict=True):
            x = sr_features[name]
            means, structure = similarities(x, hr_features[name])
            similarity = similarity.to(x) + (alpha.to(x) * means + beta.to(x) * structure).sum(dim=1)
        return (1 - similarity).mean()


def similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity of the means and of the structure of two (B, C, h, w) maps, (B, C) each, in [-1, 1]."""
    x_mean, y_mean = x.mean(dim=(2, 3)), y.mean(dim=(2, 3))
    x_rest, y_rest = x - x_mean[..., None, None], y - y_mean[..., None, None]
    variances = (x_rest**2).mean(dim=(2, 3)) + (y_rest**2).mean(dim=(2, 3))
    covariance = (x_rest * y_rest).mean(dim=(2, 3))
    means = (2 * x_mean * y_mean + STABLE) / (x_mean**2 + y_mean**2 + STABLE)
    return means, (2 * covariance + STABLE) / (variances + STABLE)


def channel_weights(calibration: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Split alpha and beta, (1475,) in any shape, into those of each layer; together they add up to 1.

    Raises:
        UserError: the two are not there in this size.
    """
    if any(name not in calibration or calibration[name].numel() != sum(CHANNELS) for name in ("alpha", "beta")):
        raise UserError(f"The calibration of DISTS must hold alpha and beta with {sum(CHANNELS)} values each.")
    alpha, beta = (calibration[name].detach().float().flatten() for name in ("alpha", "beta"))
    total = alpha.sum() + beta.sum()
    return list(zip((alpha / total).split(CHANNELS), (beta / total).split(CHANNELS), strict=True))
