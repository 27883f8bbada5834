"""Matching and swapping of given feature maps, against direct loops and cases with a known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sr_experiments.matching import cell_table, correspond, swap
from sr_experiments.matching import correspondence as module
from sr_experiments.matching.precision import full_precision
from tests.matching.conftest import match_directly, paste_directly, random_map

RATIOS = {1: 16, 2: 8, 4: 4}  # positions a side of a cell -> channels of that layer


def flat(where: np.ndarray, sizes: list[tuple[int, int]]) -> np.ndarray:
    """(number, row, column) -> the index that counts through all references."""
    bases = np.cumsum([0] + [height * width for height, width in sizes])[:-1]
    widths = np.array([width for _, width in sizes])
    return bases[where[..., 0]] + where[..., 1] * widths[where[..., 0]] + where[..., 2]


@settings(max_examples=15)
@given(
    content=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    sizes=st.lists(st.tuples(st.integers(3, 8), st.integers(3, 8)), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_equals_direct_loops(content: tuple[int, int], sizes: list[tuple[int, int]], seed: int) -> None:
    image = random_map(6, *content, seed=seed)
    references = [random_map(6, *size, seed=seed + 100 + number) for number, size in enumerate(sizes)]
    where, cosine, margin = match_directly(image, references)
    found = correspond(image, references)
    assert found.sizes == tuple(sizes)
    assert found.index.dtype == torch.int32
    clear = margin > 1e-5
    assert clear.mean() > 0.9 or clear.size < 10
    np.testing.assert_array_equal(found.index.numpy()[clear], flat(where, sizes)[clear])
    np.testing.assert_allclose(found.similarity.numpy(), cosine, atol=1e-5)
    if not clear.all():
        return
    for ratio, channels in RATIOS.items():
        layers = [
            random_map(channels, height * ratio, width * ratio, seed=seed + number)
            for number, (height, width) in enumerate(sizes)
        ]
        swapped = swap(cell_table(layers, ratio), found, ratio)
        np.testing.assert_allclose(swapped.numpy(), paste_directly(layers, where, ratio), atol=1e-5)


def test_blocks_cover_maps_larger_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 3)  # so that small maps are cut into many
    image, references = random_map(6, 10, 13), [random_map(6, 9, 7, seed=1), random_map(6, 4, 11, seed=2)]
    where, cosine, _ = match_directly(image, references)
    found = correspond(image, references)
    np.testing.assert_array_equal(found.index.numpy(), flat(where, [(9, 7), (4, 11)]))
    np.testing.assert_allclose(found.similarity.numpy(), cosine, atol=1e-5)


@pytest.mark.parametrize("size", [(40, 40), (29, 61), (27, 100)])
def test_an_image_matched_with_itself_comes_back(size: tuple[int, int]) -> None:
    image = random_map(32, *size)
    found = correspond(image, [image])
    rows, columns = size[0] - 2, size[1] - 2
    assert torch.equal(found.index, (torch.arange(rows)[:, None] * size[1] + torch.arange(columns)).int())
    torch.testing.assert_close(found.similarity, torch.ones(rows, columns))
    for ratio, channels in RATIOS.items():
        layer = random_map(channels, size[0] * ratio, size[1] * ratio, seed=ratio)
        torch.testing.assert_close(swap(cell_table([layer], ratio), found, ratio), layer, rtol=1e-6, atol=0)


@pytest.mark.parametrize("chunk", [1, 3_500_000, 2**27])
def test_chunks_change_nothing(chunk: int) -> None:
    image = random_map(32, 47, 44)
    # Near ties: the same features again, changed in their last bits.
    nearly = image * (1 + 1e-7 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1)))
    references = [nearly[:, 3:, :], random_map(32, 33, 90, seed=2), nearly, image, nearly[:, :, 2:]]
    expected, found = correspond(image, references), correspond(image, references, chunk)
    assert torch.equal(found.index, expected.index)
    assert torch.equal(found.similarity, expected.similarity)


class Largest(TorchDispatchMode):
    """Remembers how many values the largest tensor has that any operation makes."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        self.values = max([self.values, *(value.numel() for value in tensors)])
        return result


def test_chunk_bounds_what_is_held_whatever_the_sizes() -> None:
    one_block = 42**4
    for size, other in ((40, 40), (60, 90)):
        content, reference = random_map(2, size, size), random_map(2, other, other, seed=1)
        for chunk in (1, 8_000_000):
            with Largest() as largest:
                correspond(content, [reference, reference], chunk)
            assert largest.values <= max(chunk, one_block)


@pytest.mark.parametrize("chunk", [1, 2**26])
def test_of_equal_scores_the_lowest_index_wins(chunk: int) -> None:
    image = random_map(16, 30, 40)
    other = random_map(16, 12, 9, seed=1)
    first = correspond(image, [image, other], chunk)
    again = correspond(image, [image, other, image, other, image], chunk)
    assert torch.equal(first.index, again.index)
    # All patches of constant maps are the same: the very first one it is, also across blocks and references.
    constant = torch.full((16, 60, 55), 0.5)
    found = correspond(constant[:, :40, :31], [constant, constant[:, :5, :5]], chunk)
    assert int(found.index.max()) == 0
    # A periodic map: the first of the equal ones, wherever blocks begin.
    tile = random_map(16, 7, 5, seed=2)
    periodic = tile.repeat(1, 9, 12)
    found = correspond(tile, [periodic], chunk)
    assert torch.equal(found.index, (torch.arange(5)[:, None] * 60 + torch.arange(3)).int())


def test_flat_maps_give_no_nan() -> None:
    zeros, image = torch.zeros(8, 6, 6), random_map(8, 6, 6)
    for content, reference in ((zeros, zeros), (zeros, image), (image, zeros)):
        found = correspond(content, [reference])
        assert int(found.index.max()) == 0
        assert float(found.similarity.abs().max()) == 0
    # Among patches after ReLU, one of zeros is never preferred to one that has anything in common.
    found = correspond(image, [zeros, image])
    assert int(found.index.min()) >= 36
    tiny = torch.full((8, 6, 6), 1e-22)  # its squares vanish in float32
    assert bool(torch.isfinite(correspond(tiny, [tiny]).similarity).all())


def test_precision_of_the_surroundings_changes_nothing() -> None:
    image, reference = random_map(64, 12, 12), random_map(64, 14, 10, seed=1)
    expected = correspond(image, [reference])
    table = cell_table([reference], 1)
    swapped = swap(table, expected, 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = correspond(image, [reference])
        assert torch.equal(swap(table, expected, 1), swapped)
    assert torch.equal(found.index, expected.index)
    assert torch.equal(found.similarity, expected.similarity)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_reduced_products_are_off_inside_and_restored(precision: str) -> None:
    def switches() -> list[bool]:
        return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]

    torch.set_float32_matmul_precision(precision)
    try:
        before = switches()
        with full_precision(torch.device("cpu")):
            if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
                assert torch.backends.cuda.matmul.fp32_precision == "ieee"
                assert torch.backends.cudnn.conv.fp32_precision == "ieee"
            else:
                assert switches() == [False, False]
        assert switches() == before
        with pytest.raises(KeyError), full_precision(torch.device("cpu")):
            raise KeyError
        assert switches() == before
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_window_is_a_part_of_the_whole() -> None:
    sizes = [(9, 12), (20, 5)]
    found = correspond(random_map(8, 15, 11), [random_map(8, *size, seed=number) for number, size in enumerate(sizes)])
    for ratio, channels in RATIOS.items():
        layers = [random_map(channels, height * ratio, width * ratio) for height, width in sizes]
        table = cell_table(layers, ratio)
        whole = swap(table, found, ratio)
        assert whole.shape == (channels, 15 * ratio, 11 * ratio)
        for rows, columns in (((0, 15), (0, 1)), ((0, 4), (7, 11)), ((3, 9), (2, 8)), ((14, 15), (10, 11))):
            window = swap(table, found, ratio, slice(*rows), slice(*columns))
            top, bottom = rows[0] * ratio, rows[1] * ratio
            assert torch.equal(window, whole[:, top:bottom, columns[0] * ratio : columns[1] * ratio])


def test_indices_that_name_no_patch_are_told() -> None:
    found = correspond(random_map(8, 7, 6), [random_map(8, 5, 4, seed=1), random_map(8, 3, 6, seed=2)])
    assert found.is_valid()
    for bad in (-1, 2, 12, 24, 20 + 18, 2**30):  # 2: beyond the last column; 12: beyond the last row; 24: likewise
        changed = found.index.clone()
        changed[1, 2] = bad
        assert not module.Correspondence(changed, found.similarity, found.sizes).is_valid()
    for good in (0, 9, 20, 23):
        changed = torch.full_like(found.index, good)
        assert module.Correspondence(changed, found.similarity, found.sizes).is_valid()


def test_maps_smaller_than_a_patch_are_refused() -> None:
    image = random_map(8, 5, 5)
    for content, references in ((image[:, :2], [image]), (image, [image, image[..., :2]]), (image, [])):
        with pytest.raises(ValueError, match="3x3 cells"):
            correspond(content, references)
