"""Random numbers that belong to samples: the same in every batch, on every device and after every resume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sr_experiments.pixels.eightbit import working_dtype

STEP = 0x9E3779B97F4A7C15  # SplitMix64 adds this from one number to the next
_SPLIT = 0xD1B54A32D192ED03  # another odd number, so that keys of parts do not meet the numbers of their whole


def scrambled(state: Tensor) -> Tensor:
    """Scramble int64 numbers by the finaliser of SplitMix64 (Steele et al., OOPSLA 2014), one to one."""
    state = (state ^ shifted(state, 30)) * signed(0xBF58476D1CE4E5B9)
    state = (state ^ shifted(state, 27)) * signed(0x94D049BB133111EB)
    return state ^ shifted(state, 31)


def keys_of(images: Tensor, key: Tensor | None) -> Tensor:
    """The keys of a batch, (B,) int64 on the CPU; without keys, as in evaluation, every image has the key 0.

    Raises:
        ValueError: there are more or fewer keys than images.
    """
    if key is None:
        return torch.zeros(len(images), dtype=torch.int64)
    if key.shape != (len(images),):
        raise ValueError(f"{len(images)} images need as many keys, got keys of the shape {tuple(key.shape)}")
    return key.to("cpu", torch.int64)


def keys_of_part(keys: Tensor, part: int) -> Tensor:
    """Keys for one part of what happens to the samples, unrelated to those of the other parts."""
    return scrambled(keys + signed((part + 1) * _SPLIT))


class Draws:
    """One random number after the other, each for all samples at once.

    Args:
        keys: (B,) int64, one a sample. What a sample gets depends on its own key and on how many numbers were drawn
            before, so whoever draws must draw the same ones for all samples, needed or not.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self.count = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B,) float64, from `low` up to `high`."""
        self.count += 1
        bits = shifted(scrambled(self.keys + signed(self.count * STEP)), 11)
        return low + (high - low) * (bits.to(torch.float64) / 2**53)

    def chance(self, probability: float) -> Tensor:
        """(B,) bool, true with this probability."""
        return self.uniform() < probability

    def integer(self, low: int, high: int) -> Tensor:
        """(B,) int64, from `low` to `high`, both included."""
        return (low + self.uniform(0, high - low + 1).floor().long()).clamp(max=high)

    def choice(self, weights: Sequence[float]) -> Tensor:
        """(B,) int64: the index of one of the `weights`, in proportion to them."""
        edges = torch.tensor(list(weights), dtype=torch.float64).cumsum(0)
        return torch.searchsorted(edges, self.uniform(0, float(edges[-1])), right=True).clamp(max=len(weights) - 1)

    def places(self, number: int) -> Tensor:
        """(B, number) int64: the places of `number` things in a random order."""
        return torch.stack([self.uniform() for _ in range(number)], dim=1).argsort(dim=1).argsort(dim=1)


def rows(drawn: dict[str, Tensor]) -> list[dict[str, float]]:
    """What was drawn, one dictionary of plain numbers a sample."""
    columns = [values.tolist() for values in drawn.values()]
    return [{name: float(value) for name, value in zip(drawn, row, strict=True)} for row in zip(*columns, strict=True)]


def normal_field(keys: Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """(B, *shape) independent numbers of the standard normal distribution, by Box and Muller's method.

    Args:
        keys: (B,) int64.
        shape: shape of one sample's field.
        device: where to make it, in the dtype that is exact there.
    """
    return _normal(keys, torch.arange(math.prod(shape), device=device)).view(len(keys), *shape)


def normal_window(
    keys: Tensor, shape: tuple[int, int, int], rows: slice, columns: slice, device: torch.device
) -> Tensor:
    """A window of the `normal_field` of a shape (C, H, W), (B, C, h, w), without the rest of it."""
    parts = zip((slice(None), rows, columns), shape, strict=True)
    channel, row, column = (torch.arange(*part.indices(length), device=device) for part, length in parts)
    index = (channel[:, None, None] * shape[1] + row[:, None]) * shape[2] + column
    return _normal(keys, index.flatten()).view(len(keys), *index.shape)


def _normal(keys: Tensor, index: Tensor) -> Tensor:
    """(B, N): the numbers at these places of each key's field."""
    state = scrambled(scrambled(keys.to(index.device))[:, None] + index * signed(STEP))
    dtype = working_dtype(index.device)
    radius = (((state >> 32) + 2**31 + 1).to(dtype) / 2**32).log().mul(-2).sqrt()
    angle = (state & (2**32 - 1)).to(dtype) / 2**32 * (2 * math.pi)
    return radius * angle.cos()


def poisson_field(key: int, rates: Tensor) -> Tensor:
    """Numbers of the Poisson distribution with these `rates`, in their shape, from one sample's key; no gradient."""
    generator = torch.Generator().manual_seed(key)
    return torch.poisson(rates.detach().cpu().float(), generator).to(rates)


def signed(value: int) -> int:
    """The 64-bit integer with the same bits, as torch's int64 has it."""
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value


def shifted(values: Tensor, bits: int) -> Tensor:
    """Shift to the right with zeros coming in; torch's own shift brings in the sign."""
    return (values >> bits) & (2 ** (64 - bits) - 1)
