"""For every 3x3 patch of a feature map, the most similar one among all patches of the references."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sr_experiments.matching.precision import full_precision

PATCH = 3  # cells a side of a patch
CHUNK = 2**22

# Scores are made block by block. A block's shape follows from the sizes of the maps alone, so that every product of
# two cells comes out of a matrix product of the same shape at the same place, and rounds alike, whatever `chunk` is.
_BLOCK = 40  # patches a side at most; the 38x38 of a crop of 160x160 pixels are one block


@dataclass(frozen=True)
class Correspondence:
    """Which patch of the references fits each patch of the content best.

    Attributes:
        index: (h - 2, w - 2) int32: the top left cell of the best patch, counted row by row through all cells of all
            references, one reference after the other.
        similarity: (h - 2, w - 2) float32: the cosine of the angle between the two patches, 0 where one is zero.
        sizes: cells (rows, columns) of each reference.
    """

    index: Tensor
    similarity: Tensor
    sizes: tuple[tuple[int, int], ...]

    def is_valid(self) -> bool:
        """Whether every index names a patch that lies within one reference."""
        ends = torch.tensor([height * width for height, width in self.sizes], device=self.index.device).cumsum(0)
        if bool((self.index < 0).any() | (self.index >= ends[-1]).any()):
            return False
        number = torch.bucketize(self.index, ends, right=True)
        sizes = torch.tensor(self.sizes, device=self.index.device)
        inside = self.index - (ends - sizes.prod(dim=1))[number]
        row, column = inside // sizes[number, 1], inside % sizes[number, 1]
        return bool(((row <= sizes[number, 0] - PATCH) & (column <= sizes[number, 1] - PATCH)).all())


@torch.no_grad()
def correspond(content: Tensor, references: Sequence[Tensor], chunk: int = CHUNK) -> Correspondence:
    """Match every 3x3 patch of `content` (stride 1, no padding) against those of all references.

    The score of two patches is their scalar product divided by the norm of the reference's patch; a reference patch
    of zeros scores 0. Among equal scores the lowest index wins. A patch's score is the sum of the products of its nine
    cells, and a product of two cells serves nine patches: products are made of cells, and sums of shifted products.

    Args:
        content: (C, h, w), at least 3x3 cells.
        references: (C, hr, wr) each, of any sizes from 3x3 cells.
        chunk: scores held at once, 4 bytes each; working memory is about three times that. At least those of one block
            of 40x40 patches against another, 3.1 million, whatever the sizes. The result does not depend on it.

    Returns:
        Indices and similarities, computed in full float32.

    Raises:
        ValueError: a map is smaller than a patch, or `references` is empty.

    Source:
        Zhang et al., Image Super-Resolution by Neural Texture Transfer, CVPR 2019, section 3.1.
    """
    if not references or any(min(layer.shape[-2:]) < PATCH for layer in (content, *references)):
        raise ValueError(f"matching needs maps of at least {PATCH}x{PATCH} cells, and a reference")
    rows, columns = content.shape[1] - PATCH + 1, content.shape[2] - PATCH + 1
    index = torch.empty(rows, columns, dtype=torch.int64, device=content.device)
    score = torch.empty(rows, columns, device=content.device)
    with full_precision(content.device):
        candidates = _candidates(references)
        cells = content.permute(1, 2, 0).float()
        height, width = _block_side(rows), _block_side(columns)
        for top, left in _origins(rows, columns):
            block = cells[top : top + height + 2, left : left + width + 2].contiguous()
            best = _best_of_all(block, candidates, chunk)
            score[top : top + height, left : left + width], index[top : top + height, left : left + width] = best
        similarity = (score * _inverse_norms(cells)).clamp_(max=1)
    sizes = tuple((int(layer.shape[1]), int(layer.shape[2])) for layer in references)
    return Correspondence(index.int(), similarity, sizes)


@dataclass(frozen=True)
class _Candidates:
    """The patches of one reference: its cells (hr, wr, C), one over the norms of its patches, its first index."""

    cells: Tensor
    inverse_norms: Tensor
    base: int


def _candidates(references: Sequence[Tensor]) -> list[_Candidates]:
    found, base = [], 0
    for layer in references:
        cells = layer.permute(1, 2, 0).float()
        found.append(_Candidates(cells, _inverse_norms(cells), base))
        base += cells.shape[0] * cells.shape[1]
    return found


def _inverse_norms(cells: Tensor) -> Tensor:
    """One over the norm of every patch of (h, w, C) cells, and 0 where that is zero: (h - 2, w - 2)."""
    squares = cells.square().sum(dim=2)
    rows, columns = squares.shape[0] - 2, squares.shape[1] - 2
    norms = torch.zeros(rows, columns, device=cells.device)
    for down in range(PATCH):
        for across in range(PATCH):
            norms += squares[down : down + rows, across : across + columns]
    return torch.where(norms > 0, norms.rsqrt(), 0)


def _best_of_all(block: Tensor, candidates: Sequence[_Candidates], chunk: int) -> tuple[Tensor, Tensor]:
    """Score and index of the best candidate for each patch of `block` (rows + 2, columns + 2, C)."""
    shape = block.shape[0] - 2, block.shape[1] - 2
    score = torch.full(shape, -math.inf, device=block.device)
    index = torch.zeros(shape, dtype=torch.int64, device=block.device)
    for candidate in candidates:
        origins = list(_origins(*candidate.inverse_norms.shape))
        sides = [_block_side(length) + 2 for length in candidate.inverse_norms.shape]
        together = max(1, chunk // (block.shape[0] * block.shape[1] * math.prod(sides)))
        for first in range(0, len(origins), together):
            new_score, new_index = _best_of_blocks(block, candidate, origins[first : first + together])
            # Blocks interleave in the order of indices, so that of equal scores the first need not be the lowest.
            better = (new_score > score) | ((new_score == score) & (new_index < index))
            score = torch.where(better, new_score, score)
            index = torch.where(better, new_index, index)
    return score, index


def _best_of_blocks(block: Tensor, candidate: _Candidates, origins: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Score and index of the best patch among some blocks of a reference, for each patch of `block`."""
    height, width = (_block_side(length) for length in candidate.inverse_norms.shape)
    left = block.flatten(0, 1)
    products = block.new_empty(len(origins), len(left), (height + 2) * (width + 2))
    for number, (top, start) in enumerate(origins):
        right = candidate.cells[top : top + height + 2, start : start + width + 2].flatten(0, 1)
        products[number] = torch.mm(left, right.T)
    scores = products.view(len(origins), *block.shape[:2], height + 2, width + 2)
    scores = _sum_diagonals(_sum_diagonals(scores, 1, 3), 2, 4)
    norms = [candidate.inverse_norms[top : top + height, start : start + width] for top, start in origins]
    scores *= torch.stack(norms)[:, None, None]
    best, place = scores.flatten(3).max(dim=3)
    across = candidate.cells.shape[1]
    corners = torch.tensor([candidate.base + top * across + start for top, start in origins], device=block.device)
    index = place // width * across + place % width + corners[:, None, None]
    best_of_all = best.amax(dim=0)
    return best_of_all, index.masked_fill(best < best_of_all, torch.iinfo(index.dtype).max).amin(dim=0)


def _sum_diagonals(products: Tensor, one: int, other: int) -> Tensor:
    """Sum over three steps along two axes at once."""
    lengths = products.shape[one] - 2, products.shape[other] - 2

    def moved(step: int) -> Tensor:
        return products.narrow(one, step, lengths[0]).narrow(other, step, lengths[1])

    return (moved(0) + moved(1)).add_(moved(2))


def _block_side(length: int) -> int:
    """Patches a side of the blocks, all of one size, into which `length` is cut."""
    return math.ceil(length / math.ceil(length / _BLOCK))


def _origins(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Top left patches of the blocks; the last ones of an axis overlap with those before, to be as large as they."""
    for top in range(0, rows, _block_side(rows)):
        for left in range(0, columns, _block_side(columns)):
            yield min(top, rows - _block_side(rows)), min(left, columns - _block_side(columns))
