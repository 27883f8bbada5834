"""Distance of Gram matrices to the textures of references: SRNTT (Zhang et al., CVPR 2019, section 3.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.losses.layers import weighted_layers
from sr_experiments.losses.texture import gram

Features = Mapping[str, Tensor]

# The weight of a position's features as a function of its similarity, at most 1.
WEIGHTINGS: dict[str, Callable[[Tensor], Tensor | float]] = {
    "similarity": lambda similarity: similarity,
    "centred": lambda similarity: torch.sigmoid(20 * (similarity - 0.65)),
    "released": lambda similarity: torch.sigmoid(-20 * similarity + 0.65),
    "none": lambda similarity: 1.0,
}
NORMS = ("frobenius", "squared")
NORMALISATIONS = ("gatys", "none")


class ReferenceTexture(nn.Module):
    """Distance between the Gram matrices of SR and of the swapped textures, both weighted by similarity.

    For every layer |Gram(phi(SR) * S) - Gram(M * S)|: phi are the activations of the feature network, M the map that
    the matching made of the references, S the similarity, brought to the grid of the layer bicubically.

    In the paper, positions that are similar to the reference have more weight. The released code, with its weighting
    on, computes sigmoid(-20 * S + 0.65), which falls with S and is below 0.005 from S = 0.3 on: the term is almost
    switched off. Its author names 0.65 a centre and 20 a slope, which is sigmoid(20 * (S - 0.65)).

    Args:
        layers: layer of the feature network -> weight.
        weighting: `similarity`, the paper's S itself; `centred`, what the released code's author says is meant;
            `released`, what that code computes; or `none`.
        norm: `frobenius`, the root of the summed squares of a difference of Gram matrices (the paper), or `squared`,
            the mean of the squares over a matrix's entries (the released code). Averaged over the batch.
        normalisation: `gatys`: squares are divided by (2 * C * h * w)^2, the Frobenius norm by 2 * C * h * w, with the
            layer's own size; or `none`.

    Raises:
        UserError: an option is unknown, or no layer has a weight.
    """

    def __init__(
        self,
        layers: Mapping[str, float],
        weighting: str = "similarity",
        norm: str = "frobenius",
        normalisation: str = "gatys",
    ) -> None:
        super().__init__()
        for option, value, known in (
            ("weighting", weighting, WEIGHTINGS),
            ("norm", norm, NORMS),
            ("normalisation", normalisation, NORMALISATIONS),
        ):
            if value not in known:
                raise UserError(f"{option}={value} of the reference texture is unknown: use {', '.join(known)}.")
        self.layers = weighted_layers(layers, "The reference texture")
        self.weighting = weighting
        self.norm = norm
        self.normalisation = normalisation

    def forward(self, sr_features: Features, maps: Features, similarity: Tensor) -> Tensor:
        """Compare the textures of SR with the swapped textures.

        Args:
            sr_features: layer -> activation of SR, (B, C, h, w).
            maps: layer -> texture found by the matching, (B, C, h', w'); where sizes differ, what both have in common
                at the top and the left is compared. Never changed.
            similarity: (B, 1, h4, w4), one value a cell of the coarsest layer.

        Returns:
            A scalar.

        Raises:
            UserError: the matching made no map of a layer.
        """
        missing = [name for name in self.layers if name not in maps]
        if missing:
            raise UserError(f"The reference texture looks at {missing[0]}, but the matching gives {', '.join(maps)}.")
        parts = []
        for name, weight in self.layers.items():
            ratio = round(maps[name].shape[-1] / similarity.shape[-1])
            worth = WEIGHTINGS[self.weighting](similarity if ratio == 1 else bicubic_upsample(similarity, scale=ratio))
            parts.append(weight * self._compare(sr_features[name], maps[name], worth))
        return torch.stack(parts).sum()

    def _compare(self, sr: Tensor, texture: Tensor, worth: Tensor | float) -> Tensor:
        height, width = (min(sr.shape[axis], texture.shape[axis]) for axis in (-2, -1))
        if isinstance(worth, Tensor):
            worth = worth[..., :height, :width]
        grams = [gram((x[..., :height, :width] * worth).flatten(2)) for x in (sr, texture)]
        difference = grams[0] - grams[1]
        if self.normalisation == "gatys":
            difference = difference / (2 * sr.shape[1] * height * width)
        if self.norm == "squared":
            return (difference**2).mean()
        # The gradient of this norm is 0 where the difference is.
        return torch.linalg.vector_norm(difference, dim=(-2, -1)).mean()
