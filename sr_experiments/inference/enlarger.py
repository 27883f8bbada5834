"""Enlarging pictures with a trained network, and with what it takes beside LR, within bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.inference.colour import in_colour
from sr_experiments.inference.receptive_field import reach
from sr_experiments.inference.tiling import each_tensor, enlarge_image, self_ensemble, tile_side
from sr_experiments.inputs import inputs_of
from sr_experiments.models.traits import cell_of, traits


class Enlarger:
    """Enlarges one picture after another, tile by tile; of its inputs the network sees what belongs to a tile.

    Args:
        network: in evaluation mode, on its device; of RGB, or of luma alone.
        scale: its enlargement.
        tile: LR pixels a side of a tile; 0 for whole pictures.
        ensemble: average over the eight flips and turns.

    Raises:
        UserError: an ensemble was asked of a network with an input that cannot be turned.
    """

    def __init__(self, network: nn.Module, scale: int, tile: int = 512, ensemble: bool = False) -> None:
        self.said, self.inputs = traits(network), inputs_of(network)
        for each in self.inputs:
            if ensemble and not each.can_be_turned:
                raise UserError(
                    f"{self.said.name} takes {each.name}, which would have to be found anew for each of the eight "
                    "flips and turns: leave the ensemble out."
                )
        self.alone, self.network = network, in_colour(network)
        self.scale, self.tile = scale, tile
        parameter = next(network.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        # What windows must not divide: at x2 a cell of textures is two LR pixels, and some blocks work on squares.
        self.step = math.lcm(cell_of(network), *(each.step(scale) for each in self.inputs))
        self.enlarge = self_ensemble(self.run) if ensemble else self.run
        self._overlap: int | None = None

    @torch.no_grad()
    def __call__(self, pixels: NDArray[np.uint8], given: Mapping[str, Any] | None = None) -> NDArray[np.uint8]:
        """Enlarge a picture, (H, W, 3) -> (scale * H, scale * W, 3) uint8.

        Args:
            pixels: the picture.
            given: name of an input -> what the whole picture has of it, as the input's `window` takes it.

        Raises:
            UserError: an input was not given, or does not fit.
        """
        size = pixels.shape[:2]
        known = given or {}
        values = [
            (each, known[each.name] if each.name in known else each.of_picture(self.said, size)) for each in self.inputs
        ]

        def beside(top: int, left: int, height: int, width: int) -> dict[str, Any]:
            parts = [each.window(value, top, left, height, width, self.scale) for each, value in values]
            return {name: value for part in parts for name, value in part.items()}

        overlap = self.overlap() if 0 < tile_side(self.tile, self.step) < max(size) else 0
        return enlarge_image(self.enlarge, pixels, self.scale, self.tile, overlap, self.step, beside)

    def run(self, lr: Tensor, **beside: Any) -> Tensor:
        """What the network makes of a window, and of what belongs to it."""
        return self.network(lr.to(self.device), **each_tensor(beside, lambda value: value.to(self.device)))

    def overlap(self) -> int:
        """LR pixels that a tile must see beyond its sides; found out with the first picture that needs tiles."""
        if self._overlap is None:
            self._overlap = reach(self.alone, self.scale, self.step)
        return self._overlap


def as_image(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """A picture (H, W, 3) uint8 as networks take it, (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(device).float() / 255
