"""Enlarging images of any size within bounded memory, and over eight orientations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_experiments.pixels.eightbit import to_pixels

Turn = Callable[[Tensor], Tensor]

# What a network is given beside the LR pixels of a window: top, left, height and width -> further arguments by name.
Beside = Callable[[int, int, int, int], dict[str, Any]]


@torch.no_grad()
def enlarge_image(
    enlarge: Callable[..., Tensor],
    pixels: NDArray[np.uint8],
    scale: int,
    tile: int,
    overlap: int,
    step: int = 1,
    beside: Beside | None = None,
) -> NDArray[np.uint8]:
    """Enlarge a picture tile by tile; what is held is the picture, one tile, and the result.

    Args:
        enlarge: (1, 3, h, w) in [0, 1], and what `beside` has -> (1, 3, scale * h, scale * w), on its own device.
        pixels: the picture, (H, W, 3) uint8.
        scale: the enlargement.
        tile: LR pixels a side of a tile, overlap not counted; 0 for the whole picture at once.
        overlap: LR pixels that a tile sees beyond its sides.
        step: every window begins at a multiple of it, and ends at one or at the border of the picture: tiles are made
            as much smaller, but not smaller than one step, and overlaps as much larger as that takes.
        beside: what `enlarge` is given beside the LR pixels of a window; None for nothing.

    Returns:
        (scale * H, scale * W, 3) uint8.
    """
    height, width = pixels.shape[:2]
    side = tile_side(tile, step) or max(height, width)
    overlap = math.ceil(overlap / step) * step
    result = np.empty((height * scale, width * scale, 3), np.uint8)
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            first_row, first_column = max(top - overlap, 0), max(left - overlap, 0)
            window = pixels[first_row : bottom + overlap, first_column : right + overlap]
            lr = torch.from_numpy(np.ascontiguousarray(window.transpose(2, 0, 1)))[None].float() / 255
            sr = enlarge(lr, **(beside(first_row, first_column, *window.shape[:2]) if beside else {}))
            rows = slice((top - first_row) * scale, (bottom - first_row) * scale)
            columns = slice((left - first_column) * scale, (right - first_column) * scale)
            result[top * scale : bottom * scale, left * scale : right * scale] = to_pixels(sr[0, :, rows, columns])
    return result


def tile_side(tile: int, step: int) -> int:
    """The largest multiple of `step` within `tile`, but at least one; 0 stays 0."""
    return max(tile // step, 1) * step if tile else 0


def self_ensemble(enlarge: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Average over the eight flips and turns of the input (EDSR's "+": Timofte et al., CVPR 2016)."""

    def averaged(lr: Tensor, **beside: Any) -> Tensor:
        outputs = [undo(enlarge(do(lr), **each_tensor(beside, _of_images(do)))) for do, undo in _orientations()]
        return torch.stack(outputs).mean(dim=0)

    return averaged


def each_tensor(values: Mapping[str, Any], do: Turn) -> dict[str, Any]:
    """The same with something done to every tensor, also to those in mappings."""
    return {name: each_tensor(value, do) if isinstance(value, Mapping) else do(value) for name, value in values.items()}


def _of_images(do: Turn) -> Turn:
    return lambda values: do(values) if values.ndim == 4 else values


def _orientations() -> Iterator[tuple[Turn, Turn]]:
    for turns in range(4):
        for flip in (False, True):

            def do(x: Tensor, turns: int = turns, flip: bool = flip) -> Tensor:
                turned = torch.rot90(x, turns, (-2, -1))
                return turned.flip(-1) if flip else turned

            def undo(x: Tensor, turns: int = turns, flip: bool = flip) -> Tensor:
                return torch.rot90(x.flip(-1) if flip else x, -turns, (-2, -1))

            yield do, undo
