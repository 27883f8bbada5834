"""Distance of Gram matrices: Gatys et al., NIPS 2015; patch by patch: EnhanceNet (Sajjadi et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.losses.layers import weighted_layers

Features = Mapping[str, Tensor]
NORMALISATIONS = ("none", "chw", "gatys")


def gram(features: Tensor) -> Tensor:
    """Products of all pairs of channels, summed over positions: (..., C, P) -> (..., C, C)."""
    return features @ features.mT


def cut_patches(features: Tensor, side: int | None) -> Tensor:
    """Cut a feature map into squares that do not overlap.

    Args:
        features: (B, C, h, w).
        side: of the squares, in cells of the feature map; what is left over at the right and the bottom is not used.
            None for the whole map.

    Returns:
        (B, patches, C, positions).

    Raises:
        UserError: the feature map is smaller than one patch.
    """
    batch, channels, height, width = features.shape
    if side is None:
        return features.reshape(batch, 1, channels, height * width)
    rows, columns = height // side, width // side
    if rows == 0 or columns == 0:
        raise UserError(
            f"A feature map of {height}x{width} holds no texture patch of {side}x{side}: use larger crops, earlier "
            "layers, a smaller patch, or patch=null for the whole map."
        )
    cut = features[..., : rows * side, : columns * side].reshape(batch, channels, rows, side, columns, side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels, side * side)


class Texture(nn.Module):
    """Squared difference of Gram matrices of chosen layers, weighted and added up.

    EnhanceNet (section 4.2.3) takes plain Gram matrices of patches of 16x16 without overlap, which is read here as 16
    cells of the feature map at every layer, as its re-implementations do. Averaged over patches and batch.

    Args:
        layers: layer of the feature network -> weight.
        patch: side of the patches in cells of the feature map; None for the whole map.
        normalisation: `none`; `chw`, every Gram matrix divided by C * positions; or `gatys`, the squared difference
            divided by (2 * C * positions)^2.
        reduction: `mean` over the entries of a Gram matrix, or their `sum`, the squared Frobenius norm as the paper
            writes it. With the paper's weights and mean-one features of VGG19, the gradient of relu3_1 at bicubic x4
            images of 128x128 is some 3000 times that of the perceptual term if summed, which would leave texture
            alone, and a twentieth of it as a mean: the weights belong to the mean.

    Raises:
        UserError: an option is unknown, or no layer has a weight.
    """

    def __init__(
        self,
        layers: Mapping[str, float],
        patch: int | None = 16,
        normalisation: str = "none",
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise UserError(
                f"normalisation={normalisation} of the texture term is unknown: use {', '.join(NORMALISATIONS)}."
            )
        if reduction not in ("sum", "mean"):
            raise UserError(f"reduction={reduction} of the texture term is unknown: use sum or mean.")
        if patch is not None and patch < 1:
            raise UserError(f"The patch of the texture term must be at least 1, or null, not {patch}.")
        self.layers = weighted_layers(layers, "The texture term")
        self.patch = patch
        self.normalisation = normalisation
        self.reduction = reduction

    def forward(self, sr_features: Features, hr_features: Features) -> Tensor:
        """Layer -> activation (B, C, h, w) of both images -> a scalar."""
        parts = [weight * self._compare(sr_features[name], hr_features[name]) for name, weight in self.layers.items()]
        return torch.stack(parts).sum()

    def _compare(self, sr: Tensor, hr: Tensor) -> Tensor:
        sr_patches, hr_patches = cut_patches(sr, self.patch), cut_patches(hr, self.patch)
        difference = gram(sr_patches) - gram(hr_patches)
        size = sr_patches.shape[-2] * sr_patches.shape[-1]
        if self.normalisation != "none":
            difference = difference / (size if self.normalisation == "chw" else 2 * size)
        squared = difference**2
        return squared.mean() if self.reduction == "mean" else squared.sum(dim=(-2, -1)).mean()
