"""Checks of the options that people write in YAML files and on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from sr_experiments.errors import UserError

LARGEST_SCALE = 64


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise a `UserError` that lists the valid `choices` if `value` is not one of them."""
    valid = list(choices)
    if value not in valid:
        raise UserError(f"{name} is {value!r}; choose one of: {', '.join(str(choice) for choice in valid)}.")


def check_scale(value: object) -> None:
    """Raise a `UserError` if `value` is not a number from 1 to `LARGEST_SCALE`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LARGEST_SCALE:
        raise UserError(
            f"scale is {value!r}; give how many times smaller LR is than HR, a number from 1 to {LARGEST_SCALE}."
        )
