"""Learning rates against recursions written down step by step, and their continuation after a stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler

from sr_experiments.app.compose import compose_config
from sr_experiments.errors import UserError
from sr_experiments.training import schedules

BASE = 0.2


def optimizer() -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(()))], lr=BASE)


def rates(make: Callable[[SGD], LRScheduler], updates: int) -> list[float]:
    """The learning rate with which each update is made."""
    chosen = optimizer()
    schedule = make(chosen)
    found = []
    for _ in range(updates):
        found.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.step()
    return found


def test_constant() -> None:
    assert rates(schedules.constant, 50) == [BASE] * 50


def test_step_drops_after_every_so_many_updates() -> None:
    expected, rate = [], BASE
    for update in range(100):
        if update > 0 and update % 30 == 0:
            rate *= 0.5
        expected.append(rate)
    assert rates(lambda o: schedules.step(o, every=30, gamma=0.5), 100) == pytest.approx(expected, rel=1e-12)


def test_multistep_drops_at_its_milestones_in_any_order() -> None:
    expected = [BASE] * 10 + [BASE * 0.1] * 15 + [BASE * 0.01] * 25
    assert rates(lambda o: schedules.multistep(o, [25, 10], gamma=0.1), 50) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("minimum", [0.0, 0.1])
def test_cosine_falls_from_the_start_to_the_minimum_and_stays(minimum: float) -> None:
    found = rates(lambda o: schedules.cosine(o, steps=40, minimum=minimum), 60)
    assert found[0] == BASE
    assert found[10] == pytest.approx(BASE * (minimum + (1 - minimum) * (2 + math.sqrt(2)) / 4))
    assert found[20] == pytest.approx(BASE * (1 + minimum) / 2)
    assert found[40:] == pytest.approx([BASE * minimum] * 20, abs=1e-12)
    assert all(late < early for early, late in pairwise(found[:41]))


def test_cosine_equals_that_of_torch() -> None:
    theirs = rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=70, eta_min=0.05 * BASE), 70)
    assert rates(lambda o: schedules.cosine(o, steps=70, minimum=0.05), 70) == pytest.approx(theirs, rel=1e-9)


SHAPES: dict[str, Callable[..., LRScheduler]] = {
    "constant": schedules.constant,
    "step": lambda o, warmup=0: schedules.step(o, every=7, gamma=0.5, warmup=warmup),
    "multistep": lambda o, warmup=0: schedules.multistep(o, [5, 20], gamma=0.1, warmup=warmup),
    "cosine": lambda o, warmup=0: schedules.cosine(o, steps=30, minimum=0.01, warmup=warmup),
}


@pytest.mark.parametrize("warmup", [1, 4, 12])
@pytest.mark.parametrize("shape", SHAPES)
def test_warmup_rises_in_equal_parts_and_then_lets_go(shape: str, warmup: int) -> None:
    plain = rates(SHAPES[shape], 40)
    warmed = rates(lambda o: SHAPES[shape](o, warmup=warmup), 40)
    parts = [after / before for after, before in zip(warmed, plain, strict=True)]
    assert parts[:warmup] == pytest.approx([k / (warmup + 1) for k in range(1, warmup + 1)])
    assert warmed[warmup:] == pytest.approx(plain[warmup:], rel=1e-12)
    assert warmed[0] > 0


@settings(max_examples=40)
@given(st.sampled_from(list(SHAPES)), st.integers(0, 35), st.integers(0, 10))
def test_a_resumed_schedule_meets_the_same_values(shape: str, stop: int, warmup: int) -> None:
    def make(chosen: SGD) -> LRScheduler:
        return SHAPES[shape](chosen, warmup=warmup)

    whole = rates(make, 40)
    first = optimizer()
    schedule = make(first)
    for _ in range(stop):
        first.step()
        schedule.step()
    saved = first.state_dict(), schedule.state_dict()

    second = optimizer()
    again = make(second)
    second.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    found = []
    for _ in range(stop, 40):
        found.append(second.param_groups[0]["lr"])
        second.step()
        again.step()
    assert found == whole[stop:]


def test_the_saved_state_is_plain_values(tmp_path: object) -> None:
    for make in SHAPES.values():
        state = make(optimizer()).state_dict()
        assert all(isinstance(value, bool | int | float | list | type(None)) for value in state.values()), state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: schedules.step(o, every=0, gamma=0.5), "scheduler.every must be at least 1 .* not 0"),
        (lambda o: schedules.cosine(o, steps=0), "scheduler.steps must be at least 1, not 0: set it, or"),
        (lambda o: schedules.cosine(o, steps=-1), "scheduler.steps must be at least 1, not -1"),
        (lambda o: schedules.constant(o, warmup=-1), "scheduler.warmup must not be negative, but is -1"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[SGD], LRScheduler], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(optimizer())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["scheduler=constant"], lambda u: 1.0),
        (["scheduler=step", "scheduler.every=10"], lambda u: 0.5 ** (u // 10)),
        (["scheduler=multistep", "scheduler.milestones=[15]"], lambda u: 1.0 if u < 15 else 0.1),
        (
            ["scheduler=cosine", "trainer.max_steps=30"],
            lambda u: 1e-3 + (1 - 1e-3) * math.cos(math.pi * u / 60) ** 2,
        ),
        (["scheduler=constant", "scheduler.warmup=3"], lambda u: min(1.0, (u + 1) / 4)),
    ],
)
def test_shipped_schedules(overrides: list[str], expected: Callable[[int], float]) -> None:
    make = instantiate(compose_config("train", overrides).scheduler)
    assert rates(make, 30) == pytest.approx([BASE * expected(update) for update in range(30)])
