"""Enlarging images of any size within bounded memory, and over eight orientations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sr_experiments.degradations.eightbit import to_pixels

Enlarge = Callable[[Tensor], Tensor]

# Half a gray level: what lies outside the overlap may change a pixel by no more.
TOLERANCE = 0.5 / 255
WIDEST = 64


@torch.no_grad()
def enlarge_image(
    enlarge: Enlarge, pixels: NDArray[np.uint8], scale: int, tile: int, overlap: int
) -> NDArray[np.uint8]:
    """Enlarge a picture tile by tile; what is held is the picture, one tile, and the result.

    Args:
        enlarge: (1, 3, h, w) in [0, 1] -> (1, 3, scale * h, scale * w), on its own device.
        pixels: the picture, (H, W, 3) uint8.
        scale: the enlargement.
        tile: LR pixels a side of a tile, overlap not counted; 0 for the whole picture at once.
        overlap: LR pixels that a tile sees beyond its sides.

    Returns:
        (scale * H, scale * W, 3) uint8.
    """
    height, width = pixels.shape[:2]
    side = tile or max(height, width)
    result = np.empty((height * scale, width * scale, 3), np.uint8)
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            first_row, first_column = max(top - overlap, 0), max(left - overlap, 0)
            window = pixels[first_row : bottom + overlap, first_column : right + overlap]
            lr = torch.from_numpy(np.ascontiguousarray(window.transpose(2, 0, 1)))[None].float() / 255
            rows = slice((top - first_row) * scale, (bottom - first_row) * scale)
            columns = slice((left - first_column) * scale, (right - first_column) * scale)
            result[top * scale : bottom * scale, left * scale : right * scale] = to_pixels(
                enlarge(lr)[0, :, rows, columns]
            )
    return result


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


def reach(network: nn.Module, scale: int) -> int:
    """How far a network looks: LR pixels beyond which its input no longer matters to 8 bits.

    Measured, not derived, so that it holds for any network: the gradient of the pixels in the middle of a random
    image, summed over all that lies further away, times the full range of values, stays under half a gray level.
    A network that looks at the whole image (pooling, attention) gets the widest overlap, 64.

    Args:
        network: in evaluation mode.
        scale: its enlargement.
    """
    size = 2 * WIDEST + 1
    parameter = next(network.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    lr = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    middle = slice(WIDEST * scale, (WIDEST + 1) * scale)
    farthest = 0
    with torch.enable_grad():
        sr = network(lr)
        for pixel in (sr[0, :, middle, middle].reshape(3, -1)[:, k] for k in {0, scale**2 - 1}):
            (gradient,) = torch.autograd.grad(pixel.sum(), lr, retain_graph=True)
            weight = gradient[0].abs().sum(0)
            farthest = max(farthest, _radius_of(weight))
    return farthest


def _radius_of(weight: Tensor) -> int:
    """The smallest square radius around the middle outside of which `weight` sums to less than the tolerance."""
    total = weight.sum()
    for radius in range(WIDEST):
        inside = weight[WIDEST - radius : WIDEST + radius + 1, WIDEST - radius : WIDEST + radius + 1].sum()
        if total - inside < TOLERANCE:
            return radius
    return WIDEST
