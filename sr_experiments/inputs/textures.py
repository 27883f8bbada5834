"""The textures of reference images that were found for LR, as SRNTT takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sr_experiments.inputs.base import Arguments, Input
from sr_experiments.matching import Match
from sr_experiments.models.srntt import CELLS, LAYERS
from sr_experiments.models.traits import Traits

CELL = CELLS["relu3_1"]  # HR pixels a side of a cell, the unit of a match's windows


class Textures(Input):
    """Feature maps by layer and how similar they are to LR's own, see `SRNTT.forward`; of a picture, a `Match`."""

    name = "textures"
    can_be_turned = False

    def of_batch(self, said: Traits, batch: Mapping[str, Any]) -> Arguments:
        """What the matching found."""
        return {"maps": batch["maps"], "similarity": batch["similarity"]}

    def step(self, scale: int) -> int:
        """Windows begin with a cell: at x2 that is two LR pixels."""
        return max(CELL // scale, 1)

    def window(self, value: Match, top: int, left: int, height: int, width: int, scale: int) -> Arguments:
        """The textures of a window that begins with a cell; one at the border of the picture may be a half."""
        rows, columns = (
            slice(start * scale // CELL, math.ceil((start + length) * scale / CELL))
            for start, length in ((top, height), (left, width))
        )
        return {"maps": value.maps(rows, columns), "similarity": value.similarity[..., rows, columns]}

    def stand_in(self, said: Traits, lr: Tensor) -> Arguments:
        """No texture at any cell."""
        rows, columns = (-(-round(said.scale * side) // CELL) for side in lr.shape[2:])
        finer = {name: CELL // CELLS[name] for name in LAYERS}
        maps = {name: lr.new_zeros(len(lr), LAYERS[name], rows * n, columns * n) for name, n in finer.items()}
        return {"maps": maps, "similarity": lr.new_zeros(len(lr), 1, rows, columns)}
