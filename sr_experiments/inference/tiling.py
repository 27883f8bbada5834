"""Enlarging images of any size within bounded memory, and over eight orientations."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sr_experiments.pixels.eightbit import to_pixels

Enlarge = Callable[[Tensor], Tensor]

# What a network is given beside the LR pixels of a window: rows and columns -> further arguments.
Beside = Callable[[slice, slice], tuple[Any, ...]]

# Half a gray level: what lies outside the overlap may change a pixel by no more.
TOLERANCE = 0.5 / 255
WIDEST = 64


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
        enlarge: (1, 3, h, w) in [0, 1] -> (1, 3, scale * h, scale * w), on its own device.
        pixels: the picture, (H, W, 3) uint8.
        scale: the enlargement.
        tile: LR pixels a side of a tile, overlap not counted; 0 for the whole picture at once.
        overlap: LR pixels that a tile sees beyond its sides.
        step: every window begins at a multiple of it, and ends at one or at the border of the picture: tiles are made
            as much smaller, but not smaller than one step, and overlaps as much larger as that takes.
        beside: for the rows and columns of a window, what `enlarge` is given after its LR pixels; None for nothing.

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
            seen_rows = slice(max(top - overlap, 0), min(bottom + overlap, height))
            seen_columns = slice(max(left - overlap, 0), min(right + overlap, width))
            window = pixels[seen_rows, seen_columns]
            lr = torch.from_numpy(np.ascontiguousarray(window.transpose(2, 0, 1)))[None].float() / 255
            sr = enlarge(lr, *(beside(seen_rows, seen_columns) if beside else ()))
            rows = slice((top - seen_rows.start) * scale, (bottom - seen_rows.start) * scale)
            columns = slice((left - seen_columns.start) * scale, (right - seen_columns.start) * scale)
            result[top * scale : bottom * scale, left * scale : right * scale] = to_pixels(sr[0, :, rows, columns])
    return result


def tile_side(tile: int, step: int) -> int:
    """The largest multiple of `step` within `tile`, but at least one; 0 stays 0."""
    return max(tile // step, 1) * step if tile else 0


def self_ensemble(enlarge: Enlarge) -> Enlarge:
    """Average over the eight flips and turns of the input (EDSR's "+": Timofte et al., CVPR 2016)."""

    def averaged(lr: Tensor) -> Tensor:
        outputs = [undo(enlarge(do(lr))) for do, undo in _orientations()]
        return torch.stack(outputs).mean(dim=0)

    return averaged


def _orientations() -> Iterator[tuple[Enlarge, Enlarge]]:
    for turns in range(4):
        for flip in (False, True):

            def do(x: Tensor, turns: int = turns, flip: bool = flip) -> Tensor:
                turned = torch.rot90(x, turns, (-2, -1))
                return turned.flip(-1) if flip else turned

            def undo(x: Tensor, turns: int = turns, flip: bool = flip) -> Tensor:
                return torch.rot90(x.flip(-1) if flip else x, -turns, (-2, -1))

            yield do, undo


def reach(network: nn.Module, scale: int, step: int = 1, beside: Callable[[int], tuple[Any, ...]] | None = None) -> int:
    """How far a network looks: LR pixels beyond which its inputs no longer matter to 8 bits.

    Measured, not derived, so that it holds for any network: the gradient of the pixels in the middle of a random
    image, summed over all that lies further away, times the full range of values, stays under half a gray level.
    A network that looks at the whole image (pooling, attention) gets the widest overlap, 64.

    Args:
        network: in evaluation mode.
        scale: its enlargement.
        step: what windows are aligned to, see `enlarge_image`.
        beside: for a number of LR pixels a side, a multiple of `step`, what the network is given after so large an
            image: new tensors (1, C, n, n) and mappings of them. Their range is their largest magnitude.
    """
    size = 2 * WIDEST + step
    parameter = next(network.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    lr = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    others = beside(size) if beside else ()
    inputs = [lr, *_tensors(others)]
    ranges = [1.0, *(float(tensor.abs().max()) for tensor in inputs[1:])]
    middle = slice(WIDEST * scale, (WIDEST + 1) * scale)
    farthest = 0
    with torch.enable_grad():
        for tensor in inputs:
            tensor.requires_grad_()
        sr = _unsaturated(network)(lr, *others)
        for pixel in (sr[0, :, middle, middle].reshape(3, -1)[:, k] for k in {0, scale**2 - 1}):
            gradients = torch.autograd.grad(pixel.sum(), inputs, retain_graph=True, allow_unused=True)
            weights = zip(gradients, ranges, strict=True)
            seen = [_by_distance(gradient[0], size) * most for gradient, most in weights if gradient is not None]
            farthest = max(farthest, _radius_of(torch.stack(seen).sum(0)))
    return farthest


def _unsaturated(network: nn.Module) -> nn.Module:
    """The network without the tanh at its end: where that saturates, gradients vanish, which elsewhere they do not."""
    if getattr(network, "output", None) != "tanh":
        return network
    twin = copy.copy(network)  # shares all parts
    twin.output = "linear"  # type: ignore[assignment]  # its slope is the steepest of the tanh
    return twin


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        yield from _tensors(value.values()) if isinstance(value, Mapping) else (value,)


def _by_distance(gradient: Tensor, size: int) -> Tensor:
    """The magnitude of (C, n, n), which covers `size` LR pixels a side, at each distance from the middle one."""
    weight = gradient.abs().sum(0).double().cpu()
    edges = torch.arange(len(weight) + 1, dtype=torch.float64) * size / len(weight)
    first, last = edges[:-1].floor(), edges[1:].ceil() - 1
    away = torch.maximum(first - WIDEST, WIDEST - last).clamp(min=0).long()
    distances = torch.maximum(away[:, None], away[None, :])
    return torch.bincount(distances.flatten(), weight.flatten(), minlength=size)


def _radius_of(seen: Tensor) -> int:
    """The smallest radius beyond which what is seen at each distance sums to less than the tolerance."""
    beyond = seen.sum() - seen.cumsum(0)
    near_enough = (beyond[:WIDEST] < TOLERANCE).nonzero()
    return int(near_enough[0]) if len(near_enough) else WIDEST
