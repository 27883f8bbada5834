"""Enlarging pictures with a trained network, alone or with the textures of references, within bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.luma import in_colour
from sr_experiments.models.srntt import CELLS
from sr_experiments.models.tiling import enlarge_image, reach, self_ensemble, tile_side

if TYPE_CHECKING:
    from sr_experiments.matching import Match, Matching

CELL = CELLS["relu3_1"]  # HR pixels a side of a cell, the unit of a match's windows


class Enlarger:
    """Enlarges one picture after another, tile by tile.

    References are matched with the whole picture; the network then sees a tile and what was found for it.

    Args:
        network: in evaluation mode, on its device; of RGB, or of luma alone (see `luma`).
        scale: its enlargement.
        tile: LR pixels a side of a tile; 0 for whole pictures.
        ensemble: average over the eight flips and turns; only of networks that take no references.
        matching: finds the textures of references, on the device of the network; None for a network that takes none.
        references: pictures (h, w, 3) uint8 whose textures are used, of any sizes; without any the picture itself is.

    Raises:
        UserError: references or an ensemble were asked of a network that cannot have them, or a reference is too small.
    """

    def __init__(
        self,
        network: nn.Module,
        scale: int,
        tile: int = 512,
        ensemble: bool = False,
        matching: Matching | None = None,
        references: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        if matching is None and references:
            raise UserError(f"{type(network).__name__} takes no references: leave them out.")
        if matching is not None and ensemble:
            raise UserError(
                f"{type(network).__name__} takes references, which would have to be matched anew for each of the eight "
                "flips and turns: leave the ensemble out."
            )
        self.network, self.scale, self.tile, self.matching = in_colour(network), scale, tile, matching
        parameter = next(network.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        images = [self.image(reference)[0] for reference in references]
        self.references = matching.references(images) if matching is not None and images else images
        # At x2 a cell is two LR pixels, which windows must not divide.
        self.step = 1 if matching is None else max(CELL // scale, 1)
        self.enlarge = self_ensemble(self.run) if ensemble else self.run
        self._overlap: int | None = None

    @torch.no_grad()
    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Enlarge a picture, (H, W, 3) -> (scale * H, scale * W, 3) uint8.

        Raises:
            UserError: the picture or a reference is too small to be matched.
        """
        textures = None
        if self.matching is not None:
            textures = Textures(self.matching.find(self.image(pixels), self.references), self.scale)
        is_cut = 0 < tile_side(self.tile, self.step) < max(pixels.shape[:2])
        overlap = self.overlap(textures) if is_cut else 0
        window = None if textures is None else textures.window
        return enlarge_image(self.enlarge, pixels, self.scale, self.tile, overlap, self.step, window)

    def image(self, pixels: NDArray[np.uint8]) -> Tensor:
        """A picture (H, W, 3) uint8 as the network takes it, (1, 3, H, W) in [0, 1]."""
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(self.device).float() / 255

    def run(self, lr: Tensor, *others: Any) -> Tensor:
        """What the network makes of a window."""
        return self.network(lr.to(self.device), *others)

    def overlap(self, textures: Textures | None) -> int:
        """LR pixels that a tile must see beyond its sides; measured with the first picture that needs tiles."""
        if self._overlap is None:
            stand_in = None if textures is None else textures.stand_in
            self._overlap = reach(self.network, self.scale, self.step, stand_in)
        return self._overlap


class Textures:
    """What was found in references for a picture, in the network's terms.

    Args:
        match: of the whole picture.
        scale: the enlargement.
    """

    def __init__(self, match: Match, scale: int) -> None:
        self.match, self.scale = match, scale

    def window(self, rows: slice, columns: slice) -> tuple[dict[str, Tensor], Tensor]:
        """Maps and similarity for a window of the picture, in LR pixels, that begins with a cell."""
        down, across = self.cells(rows), self.cells(columns)
        return self.match.maps(down, across), self.match.similarity[..., down, across]

    def cells(self, pixels: slice) -> slice:
        """The cells that LR pixels belong to; one at the border of the picture may be a half."""
        return slice(pixels.start * self.scale // CELL, math.ceil(pixels.stop * self.scale / CELL))

    def stand_in(self, size: int) -> tuple[dict[str, Tensor], Tensor]:
        """Maps and similarity as for `size` x `size` LR pixels, drawn from those of the picture whatever its size."""
        cells = size * self.scale // CELL
        similarity = self.match.similarity[..., :cells, :cells]
        maps = self.match.maps(slice(0, similarity.shape[-2]), slice(0, similarity.shape[-1]))
        generator = torch.Generator().manual_seed(0)

        def shuffled(values: Tensor) -> Tensor:
            side = cells * values.shape[-1] // similarity.shape[-1]
            values = values.flatten(2)
            places = torch.randint(values.shape[2], (side * side,), generator=generator)
            return values[..., places.to(values.device)].unflatten(2, (side, side))

        return {name: shuffled(values) for name, values in maps.items()}, shuffled(similarity)
