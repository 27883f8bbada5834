"""Building a feature map for one image out of patches of other images' maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.matching.correspondence import PATCH, Correspondence
from sr_experiments.matching.precision import full_precision

_ALL = slice(None)


def cell_table(layers: Sequence[Tensor], ratio: int) -> Tensor:
    """Lay the cells of some feature maps one under the other.

    Args:
        layers: (C, ratio * hr, ratio * wr) each, the same layer of every reference.
        ratio: positions a side of a cell.

    Returns:
        (cells of all references, ratio * ratio * C), in the order in which `Correspondence.index` counts.
    """
    cells = [layer.unflatten(2, (-1, ratio)).unflatten(1, (-1, ratio)).permute(1, 3, 2, 4, 0) for layer in layers]
    counts = [part.shape[0] * part.shape[1] for part in cells]
    table = layers[0].new_empty(sum(counts), ratio**2 * layers[0].shape[0])
    for rows, part in zip(table.split(counts), cells, strict=True):
        rows.view(part.shape).copy_(part)
    return table


@torch.no_grad()
def swap(
    table: Tensor, correspondence: Correspondence, ratio: int, rows: slice = _ALL, columns: slice = _ALL
) -> Tensor:
    """Paste the matched patches at the places of the content's and average where they overlap.

    A patch is 3x3 cells, which are 3 * ratio positions a side of the layer. Every cell of the result is the mean of
    the up to nine patches that cover it, fewer at the borders.

    Args:
        table: the layer's cells, of `cell_table`.
        correspondence: what to paste where.
        ratio: positions a side of a cell.
        rows: the cells of the result that are wanted; all by default.
        columns: likewise.

    Returns:
        (C, ratio * h, ratio * w) for h x w cells, channels last in memory; a window is equal to that part of the
        whole.
    """
    sources, starts, shape = _sources(correspondence, rows, columns)
    with full_precision(table.device):
        cells = F.embedding_bag(sources, table, starts, mode="mean")
    values = cells.view(*shape, ratio, ratio, table.shape[1] // ratio**2).transpose(1, 2)
    return values.reshape(shape[0] * ratio, shape[1] * ratio, values.shape[-1]).permute(2, 0, 1)


def _sources(correspondence: Correspondence, rows: slice, columns: slice) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """For each wanted cell, row by row, the reference cells that are pasted onto it, and where its list begins."""
    index = correspondence.index
    grid = index.shape[0] + PATCH - 1, index.shape[1] + PATCH - 1
    (top, bottom), (left, right) = (
        part.indices(length)[:2] for part, length in zip((rows, columns), grid, strict=True)
    )
    # The patch that begins at p covers the cells p, p + 1 and p + 2: a cell looks for patches up to two before it.
    patches = F.pad(index, (2, 2, 2, 2), value=-1)[top : bottom + 2, left : right + 2]
    shape = bottom - top, right - left
    widths = F.pad(_widths(correspondence), (2, 2, 2, 2))[top : bottom + 2, left : right + 2]
    found, valid = [], []
    for down in range(PATCH):
        for across in range(PATCH):
            window = slice(2 - down, 2 - down + shape[0]), slice(2 - across, 2 - across + shape[1])
            found.append(patches[window] + down * widths[window] + across)
            valid.append(patches[window] >= 0)
    exists = torch.stack(valid, dim=-1).flatten(0, 1)
    counts = exists.sum(dim=1, dtype=torch.int32)
    starts = counts.cumsum(0, dtype=torch.int32) - counts
    return torch.stack(found, dim=-1).flatten(0, 1)[exists], starts, shape


def _widths(correspondence: Correspondence) -> Tensor:
    """Columns of cells of the reference that each patch comes from, (h - 2, w - 2) int32."""
    index = correspondence.index
    sizes = torch.tensor(correspondence.sizes, dtype=torch.int32, device=index.device)
    ends = sizes.prod(dim=1).cumsum(0, dtype=torch.int32)
    return sizes[torch.bucketize(index, ends, right=True), 1]
