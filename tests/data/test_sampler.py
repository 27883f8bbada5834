from collections import Counter
from itertools import chain, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_experiments.data.sampler import Draw, StepSampler, shard
from sr_experiments.errors import UserError

counts = st.integers(1, 30)
batch_sizes = st.integers(1, 24)
seeds = st.integers(0, 2**63)


def batches(sampler: StepSampler, steps: int) -> list[list[Draw]]:
    return list(islice(sampler, steps))


@settings(max_examples=50)
@given(counts, batch_sizes, seeds, st.integers(1, 4))
def test_every_image_once_a_pass(count: int, batch_size: int, seed: int, passes: int) -> None:
    drawn = chain.from_iterable(StepSampler(count, batch_size, seed))
    for _ in range(passes):
        assert Counter(draw.index for draw in islice(drawn, count)) == Counter(range(count))


@settings(max_examples=50)
@given(counts, st.integers(1, 6), st.integers(1, 4), seeds)
def test_ranks_together_draw_the_batch_of_one_process(count: int, share: int, world_size: int, seed: int) -> None:
    batch_size = share * world_size
    ranks = [
        batches(StepSampler(count, batch_size, seed, rank=rank, world_size=world_size), 5) for rank in range(world_size)
    ]
    together = [list(chain.from_iterable(parts)) for parts in zip(*ranks, strict=True)]
    assert together == batches(StepSampler(count, batch_size, seed), 5)


@settings(max_examples=50)
@given(counts, batch_sizes, seeds, st.integers(0, 40))
def test_starting_later_equals_skipping(count: int, batch_size: int, seed: int, first: int) -> None:
    whole = batches(StepSampler(count, batch_size, seed), first + 3)
    assert batches(StepSampler(count, batch_size, seed, first), 3) == whole[first:]


def test_a_new_iteration_asks_for_the_step() -> None:
    step = 0
    sampler = StepSampler(7, 4, 0, lambda: step)
    whole = batches(sampler, 10)
    step = 6
    assert batches(sampler, 4) == whole[6:]


def test_keys_are_distinct_and_fit_63_bits() -> None:
    keys = [draw.key for batch in batches(StepSampler(5, 16, 3), 500) for draw in batch]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**63 for key in keys)
    assert max(keys) > 2**62


def test_seeds_and_passes_differ() -> None:
    first, second = ([draw.index for draw in batch] for batch in batches(StepSampler(50, 50, 0), 2))
    other = [draw.index for draw in batches(StepSampler(50, 50, 1), 1)[0]]
    assert first != second
    assert first != other


def test_same_draws_on_every_machine() -> None:
    # Written down once: a resumed run must draw the same after an update of this package.
    assert batches(StepSampler(5, 3, seed=1), 1) == [
        [Draw(3, 8114064281633089408), Draw(4, 8655885454132268726), Draw(1, 1467694720561525656)]
    ]


def test_wrong_numbers() -> None:
    with pytest.raises(UserError, match=r"batch_size: 6 images .* 4 processes"):
        StepSampler(5, 6, 0, world_size=4)
    with pytest.raises(UserError, match="seed=-1"):
        StepSampler(5, 6, -1)
    with pytest.raises(UserError, match="batches of 0"):
        StepSampler(5, 0, 0)


@given(st.integers(0, 50), st.integers(1, 8))
def test_shards_neither_repeat_nor_drop(count: int, world_size: int) -> None:
    assert sorted(chain.from_iterable(shard(count, rank, world_size) for rank in range(world_size))) == list(
        range(count)
    )
