"""Enlarging pictures with a trained network, alone or with the textures of references, within bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sr_experiments.data.conditions import open_condition, to_probabilities
from sr_experiments.errors import UserError
from sr_experiments.inference.colour import in_colour
from sr_experiments.inference.tiling import enlarge_image, reach, self_ensemble, tile_side
from sr_experiments.models.srntt import CELLS

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
        told: what the network is given beside LR for every picture: name of its input -> (1, ...).

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
        told: Mapping[str, Tensor] | None = None,
    ) -> None:
        if matching is None and references:
            raise UserError(f"{type(network).__name__} takes no references: leave them out.")
        if matching is not None and ensemble:
            raise UserError(
                f"{type(network).__name__} takes references, which would have to be matched anew for each of the eight "
                "flips and turns: leave the ensemble out."
            )
        if ensemble and "condition" in getattr(network, "extra_inputs", ()):
            raise UserError(
                f"{type(network).__name__} takes a condition that would have to be turned, too: leave the ensemble out."
            )
        self.network = Told(in_colour(network), told) if told else in_colour(network)
        self.scale, self.tile, self.matching = scale, tile, matching
        parameter = next(network.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        images = [self.image(reference)[0] for reference in references]
        self.references = matching.references(images) if matching is not None and images else images
        # What windows must not divide: at x2 a cell is two LR pixels, and some blocks work on squares of pixels.
        cells = [getattr(module, "cell", 1) for module in network.modules()]
        self.step = math.lcm(1 if matching is None else max(CELL // scale, 1), *cells)
        self.enlarge = self_ensemble(self.run) if ensemble else self.run
        self._overlap: int | None = None

    @torch.no_grad()
    def __call__(self, pixels: NDArray[np.uint8], condition: Path | None = None) -> NDArray[np.uint8]:
        """Enlarge a picture, (H, W, 3) -> (scale * H, scale * W, 3) uint8.

        Args:
            pixels: the picture.
            condition: file with what it shows, for a network that takes a condition; see `open_condition`.

        Raises:
            UserError: the picture or a reference is too small to be matched, or the condition does not fit.
        """
        beside: Textures | Condition | None = None
        if condition is not None:
            classes: Any = self.network.classes
            beside = Condition(condition, classes, self.scale, pixels.shape[:2], self.device)
        if self.matching is not None:
            beside = Textures(self.matching.find(self.image(pixels), self.references), self.scale)
        is_cut = 0 < tile_side(self.tile, self.step) < max(pixels.shape[:2])
        overlap = self.overlap(beside) if is_cut else 0
        window = None if beside is None else beside.window
        return enlarge_image(self.enlarge, pixels, self.scale, self.tile, overlap, self.step, window)

    def image(self, pixels: NDArray[np.uint8]) -> Tensor:
        """A picture (H, W, 3) uint8 as the network takes it, (1, 3, H, W) in [0, 1]."""
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(self.device).float() / 255

    def run(self, lr: Tensor, *others: Any) -> Tensor:
        """What the network makes of a window."""
        return self.network(lr.to(self.device), *others)

    def overlap(self, beside: Textures | Condition | None) -> int:
        """LR pixels that a tile must see beyond its sides; measured with the first picture that needs tiles."""
        if self._overlap is None:
            stand_in = None if beside is None else beside.stand_in
            self._overlap = reach(self.network, self.scale, self.step, stand_in)
        return self._overlap


class Told(nn.Module):
    """A network that is given the same beside every LR image.

    Args:
        network: (lr, NAME=...) -> sr.
        told: name of an input -> (1, ...).
    """

    def __init__(self, network: nn.Module, told: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network, self.told = network, dict(told)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, h, w) -> what the network makes of it."""
        return self.network(
            lr, **{name: value.to(lr.device).expand(len(lr), *value.shape[1:]) for name, value in self.told.items()}
        )


class Condition:
    """What a picture shows, read from a file window by window.

    Args:
        path: see `open_condition`; of the size of the enlarged picture.
        classes: number of classes.
        scale: the enlargement.
        size: height and width of the picture in LR pixels.
        device: where the network is.

    Raises:
        UserError: the file cannot be read, or has another size or number of classes.
    """

    def __init__(self, path: Path, classes: int, scale: int, size: tuple[int, int], device: torch.device) -> None:
        self.maps = open_condition(path)
        self.path, self.classes, self.scale, self.device = path, classes, scale, device
        height, width = (side * scale for side in size)
        if self.maps.shape[:2] != (height, width) or self.maps.shape[2] not in (1, classes):
            shown = "x".join(map(str, self.maps.shape[1::-1]))
            raise UserError(
                f"The condition {path} covers {shown} pixels with {self.maps.shape[2]} channels; what is made is "
                f"{width}x{height}, and the network takes {classes} classes, or labels."
            )

    def window(self, rows: slice, columns: slice) -> tuple[Tensor]:
        """Probabilities (1, classes, h, w) for a window of the picture, in LR pixels."""
        down, across = (slice(part.start * self.scale, part.stop * self.scale) for part in (rows, columns))
        values = torch.from_numpy(np.array(self.maps[down, across].transpose(2, 0, 1), order="C"))
        return (to_probabilities(values, self.path, self.classes)[None].to(self.device),)

    def stand_in(self, size: int) -> tuple[Tensor]:
        """Probabilities for `size` x `size` LR pixels, a random class at each place."""
        side = size * self.scale
        labels = torch.randint(self.classes, (1, side, side), generator=torch.Generator().manual_seed(0))
        return (nn.functional.one_hot(labels, self.classes).permute(0, 3, 1, 2).float().to(self.device),)


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
