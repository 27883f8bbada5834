"""Random numbers that belong to samples: their distribution, and that nothing but key and place decides them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from sr_experiments.pixels.draws import (
    Draws,
    keys_of,
    keys_of_part,
    normal_field,
    poisson_field,
    rows,
    scrambled,
)
from sr_experiments.training.mixing import uniform_of

KEYS = torch.from_numpy(np.random.default_rng(0).integers(0, 2**63, 4000))
CPU = torch.device("cpu")


def splitmix(state: int) -> int:
    """The published algorithm on Python's integers."""
    mask = 2**64 - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_scrambling_equals_splitmix() -> None:
    ours = scrambled(KEYS[:50]).tolist()
    assert [value % 2**64 for value in ours] == [splitmix(key) for key in KEYS[:50].tolist()]


def test_numbers_are_those_that_mixing_draws() -> None:
    draws = Draws(KEYS[:100])
    for draw in range(3):
        torch.testing.assert_close(draws.uniform().float(), uniform_of(KEYS[:100], draw), rtol=0, atol=1e-6)


def test_uniform_numbers_are_uniform_and_independent() -> None:
    draws = Draws(KEYS)
    first, second = draws.uniform(), draws.uniform(2, 5)
    assert stats.kstest(first, "uniform").pvalue > 0.01
    assert stats.kstest((second - 2) / 3, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    other = Draws(keys_of_part(KEYS, 0)).uniform()
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.05
    assert stats.kstest(Draws(torch.arange(4000)).uniform(), "uniform").pvalue > 0.01


def test_whole_numbers_choices_and_orders_have_their_chances() -> None:
    draws = Draws(KEYS)
    numbers = draws.integer(3, 7)
    assert numbers.unique().tolist() == [3, 4, 5, 6, 7]
    assert stats.chisquare(numbers.bincount()[3:]).pvalue > 0.01
    chosen = draws.choice((1, 0, 3)).bincount(minlength=3)
    assert chosen[1] == 0
    assert stats.chisquare(chosen[[0, 2]], [1000, 3000]).pvalue > 0.01
    assert abs(float(draws.chance(0.3).double().mean()) - 0.3) < 0.03
    places = draws.places(3)
    assert (places.sort(dim=1).values == torch.arange(3)).all()
    assert stats.chisquare((places * torch.tensor([9, 3, 1])).sum(1).unique(return_counts=True)[1]).pvalue > 0.01


def test_normal_field_is_normal_and_belongs_to_the_sample() -> None:
    field = normal_field(KEYS[:3], (3, 50, 60), CPU)
    for sample in field:
        assert stats.kstest(sample.flatten(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(field.flatten(1))[0, 1]) < 0.05
    assert abs(np.corrcoef(field[0, 0, :, 1:].flatten(), field[0, 0, :, :-1].flatten())[0, 1]) < 0.08
    assert torch.equal(field[1:2], normal_field(KEYS[1:2], (3, 50, 60), CPU))


def test_poisson_field_has_its_rates_and_belongs_to_the_key() -> None:
    rates = torch.tensor([0.0, 3.0, 100.0]).repeat(5000, 1)
    field = poisson_field(7, rates)
    torch.testing.assert_close(field.mean(0), rates[0], rtol=0.02, atol=0)
    torch.testing.assert_close(field.var(0), rates[0], rtol=0.1, atol=0)
    assert torch.equal(field, poisson_field(7, rates))
    assert not torch.equal(field, poisson_field(8, rates))


def test_keys_of_images_are_zero_without_keys_and_must_be_as_many() -> None:
    images = torch.rand(3, 1, 2, 2)
    assert keys_of(images, None).tolist() == [0, 0, 0]
    assert keys_of(images, torch.tensor([4, 5, 6])).tolist() == [4, 5, 6]
    with pytest.raises(ValueError, match="3 images need as many keys"):
        keys_of(images, torch.tensor([1, 2]))


def test_rows_are_plain_numbers() -> None:
    drawn = {"a": torch.tensor([True, False]), "b": torch.tensor([2, 3])}
    assert rows(drawn) == [{"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 3.0}]
