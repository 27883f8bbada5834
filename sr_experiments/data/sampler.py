"""Which photograph is drawn when: decided by seed, step and position, not by the number of workers or processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count as count_from

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from sr_experiments.errors import UserError

_ORDER, _KEY = 0, 1  # two streams of random numbers from one seed


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample of a training batch.

    Attributes:
        index: which photograph.
        key: 63 bits that decide all random choices of the sample: crop, augmentation, degradation.
    """

    index: int
    key: int


class StepSampler(Sampler[list[Draw]]):
    """An endless batch sampler: one batch a training step, the same whatever the number of processes and workers.

    Every epoch is a new permutation of the photographs; an epoch may end in the middle of a batch.
    Rank r of w gets the r-th of w equal, contiguous parts of each batch.

    Args:
        count: number of photographs.
        batch_size: images a step, over all processes.
        seed: not negative.
        first_step: where to begin, or a function that is called for it whenever an iteration begins (to resume).
        rank: this process.
        world_size: number of processes.

    Raises:
        UserError: a number is out of range, or `batch_size` is not a multiple of `world_size`.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        first_step: int | Callable[[], int] = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if count < 1 or batch_size < 1:
            raise UserError(f"cannot draw batches of {batch_size} from {count} photographs; both must be at least 1.")
        if seed < 0:
            raise UserError(f"seed={seed}: a seed must not be negative.")
        if batch_size % world_size:
            raise UserError(
                f"batch_size: {batch_size} images a step cannot be shared equally by {world_size} processes; "
                f"choose a multiple of {world_size}."
            )
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.first_step = first_step
        share = batch_size // world_size
        self.positions = range(rank * share, (rank + 1) * share)
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[list[Draw]]:
        first = self.first_step() if callable(self.first_step) else self.first_step
        for step in count_from(first):
            yield [Draw(self._index(step, position), self._key(step, position)) for position in self.positions]

    def _index(self, step: int, position: int) -> int:
        number, place = divmod(step * self.batch_size + position, self.count)
        if number != self._pass:
            stream = np.random.SeedSequence(self.seed, spawn_key=(_ORDER, number))
            self._order = np.random.default_rng(stream).permutation(self.count)
            self._pass = number
        return int(self._order[place])

    def _key(self, step: int, position: int) -> int:
        stream = np.random.SeedSequence(self.seed, spawn_key=(_KEY, step, position))
        return int(stream.generate_state(1, np.uint64)[0] >> np.uint64(1))


def shard(count: int, rank: int = 0, world_size: int = 1) -> range:
    """Return the evaluation images of one process: over all processes none is repeated and none is left out."""
    return range(rank, count, world_size)
