"""How the jobs of a sweep are compared, and how often failed ones are tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError
from sr_experiments.metrics.directions import higher_is_better


@dataclass(frozen=True)
class Settings:
    """The `sweep` part of a config, checked.

    Attributes:
        metrics: what ranks the jobs: a metric of the test, or another number of results.json such as `seconds`.
        directions: `max` or `min`, one a metric.
        set_name: the test set whose metrics count; None for the first.
        retry: how often a failed job is run again.
    """

    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    set_name: str | None
    retry: int


def _direction(metric: str, config: DictConfig) -> str:
    """`max` or `min`: which is better of a number in the results of a run.

    Raises:
        UserError: the direction is unknown.
    """
    if metric in ("seconds", "steps", "parameters"):
        return "min"
    part = OmegaConf.select(config, f"scores.parts.{metric}._target_")
    said = higher_is_better(metric)
    if said is None and part is not None:
        said = getattr(get_object(part), "higher_is_better", None)
    if said is None:
        raise UserError(f"sweep.metric={metric} is no known score: say with sweep.direction=max or min what is better.")
    return "max" if said else "min"


def read_settings(config: DictConfig) -> Settings:
    """Read and check the `sweep` part of a composed config.

    Raises:
        UserError: a value is not what it must be.
    """
    sweep: dict[str, Any] = OmegaConf.to_container(config.sweep, resolve=True)  # type: ignore[assignment]
    metrics = _list(sweep["metric"])
    if not metrics or not all(isinstance(metric, str) for metric in metrics):
        raise UserError(f"sweep.metric={sweep['metric']} must name a metric, or several as in [psnr,ssim].")
    given = sweep["direction"]
    directions = [_direction(metric, config) for metric in metrics] if given is None else _list(given)
    if any(direction not in ("max", "min") for direction in directions):
        raise UserError(f"sweep.direction={sweep['direction']} is unknown: use max or min, one a metric.")
    if len(directions) != len(metrics):
        raise UserError(
            f"sweep.metric names {len(metrics)} and sweep.direction {len(directions)}: give one direction a metric."
        )
    retry = sweep["retry"]
    if not isinstance(retry, int) or isinstance(retry, bool) or retry < 0:
        raise UserError(f"sweep.retry={retry} must be a whole number: how often a failed job is run again.")
    return Settings(tuple(metrics), tuple(directions), sweep["set"], retry)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
