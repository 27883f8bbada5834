"""The feature maps between which textures are swapped, also of images too large for one pass."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching.precision import full_precision

CELL = 4  # pixels a side of a cell, the grid of the coarsest layer, on which images are matched
LAYERS = {"relu3_1": 1, "relu2_1": 2, "relu1_1": 4}  # layer -> positions a side of a cell; the matching layer first
MATCHING_LAYER = next(iter(LAYERS))

TILE = 512  # pixels a side; a pass over a tile of 512 holds about 200 MB
# A cell of relu3_1 sees 10 pixels beyond its own: 4 through conv3_1, 4 through conv2_x, 2 through conv1_x.
OVERLAP = 12


@torch.no_grad()
def extract(network: FeatureNetwork, image: Tensor, layers: Iterable[str], tile: int = TILE) -> dict[str, Tensor]:
    """Compute feature maps in full precision, tile by tile where the image is large.

    Args:
        network: a VGG network.
        image: (1, 3, H, W) in [0, 1], float32; H and W multiples of `CELL`, so that the grids of all layers nest.
        layers: names out of `LAYERS`.
        tile: pixels a side of a tile, a multiple of `CELL`, overlap not counted.

    Returns:
        Layer -> (C, r * H / 4, r * W / 4) with r as `LAYERS` says; equal to one pass over the whole but for rounding.
    """
    layers = list(layers)
    height, width = image.shape[-2:]
    with full_precision(image.device):
        if max(height, width) <= tile:
            return {layer: values[0] for layer, values in network(image, layers).items()}
        whole: dict[str, Tensor] = {}
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                first_row, first_column = max(top - OVERLAP, 0), max(left - OVERLAP, 0)
                bottom, right = min(top + tile, height), min(left + tile, width)
                # Where the tile ends with the image, zeros follow as in one pass; elsewhere real pixels.
                window = image[..., first_row : bottom + OVERLAP, first_column : right + OVERLAP]
                for layer, values in network(window.contiguous(), layers).items():
                    step = CELL // LAYERS[layer]
                    if layer not in whole:
                        whole[layer] = values.new_empty(values.shape[1], height // step, width // step)
                    whole[layer][:, top // step : bottom // step, left // step : right // step] = values[
                        0,
                        :,
                        (top - first_row) // step : (bottom - first_row) // step,
                        (left - first_column) // step : (right - first_column) // step,
                    ]
        return whole
