"""The parts of the game by themselves: the balance rule, the mixing numbers, when the game is on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.objectives import Vanilla
from sr_experiments.training.balance import Balance
from sr_experiments.training.game import Game
from sr_experiments.training.mixing import uniform_of


@pytest.mark.parametrize(
    ("on_real", "on_fake", "updates"),
    [
        (0.95, 0.95, False),
        (0.90, 0.90, False),
        (0.89, 0.95, True),
        (0.95, 0.89, True),
        (0.50, 0.50, True),
        (1.00, 1.00, False),
        (1.00, 0.00, True),
    ],
)
def test_balance_rule(on_real: float, on_fake: float, updates: bool) -> None:
    balance = Balance(0.9)
    assert balance.wants_update()
    balance.remember(torch.tensor(on_real), torch.tensor(on_fake))
    assert balance.wants_update() == updates
    restored = Balance(0.9)
    restored.load_state_dict(balance.state_dict())
    assert restored.wants_update() == updates


def test_when_the_game_is_on() -> None:
    game = Game(nn.Identity(), Vanilla(), weight=2.0, start=10, ramp=4, pretrain_steps=3)
    assert [game.is_warm_up(step) for step in (0, 2, 3)] == [True, True, False]
    assert [game.is_on(step) for step in (9, 10)] == [False, True]
    assert [game.weight_at(step) for step in (9, 10, 11, 12, 13, 14, 99)] == [0, 0, 0.5, 1, 1.5, 2, 2]
    assert Game(nn.Identity(), Vanilla(), weight=2.0, pretrain_steps=5).weight_at(5) == 2
    assert not Game(nn.Identity(), Vanilla(), weight=2.0, pretrain_steps=5).is_on(4)


def test_mixing_numbers_are_those_of_splitmix64() -> None:
    keys = torch.tensor([0, 1, 2**62 + 12345, 2**63 - 1])
    with np.errstate(over="ignore"):
        state = keys.numpy().astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    expected = (state >> np.uint64(40)).astype(np.float64) / 2**24
    assert np.array_equal(uniform_of(keys, 0).numpy(), expected.astype(np.float32))


def test_mixing_numbers_are_spread_evenly_and_belong_to_their_sample() -> None:
    keys = torch.randint(0, 2**63 - 1, (20_000,), generator=torch.Generator().manual_seed(0))
    numbers = uniform_of(keys, 0)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    histogram = torch.histc(numbers, bins=10, min=0, max=1) / len(keys)
    assert (histogram - 0.1).abs().max() < 0.01
    assert torch.equal(uniform_of(keys.flip(0), 0), numbers.flip(0))
    correlation = torch.corrcoef(torch.stack([numbers, uniform_of(keys, 1)]))[0, 1]
    assert abs(float(correlation)) < 0.03
