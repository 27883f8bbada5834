"""Runs a command as a Hydra app."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from sr_experiments.app.explain import explain, in_words
from sr_experiments.errors import ProcessError, UserError, find_user_error
from sr_experiments.shipped import conf_dir

# What a command does with its composed config.
Task = Callable[[DictConfig], Any]


def run_app(config_name: str, task: Task, run_in_sweep: Callable[[Task, DictConfig, Path], Any] | None = None) -> int:
    """Compose `config_name` with the command line and call `task` with it.

    Args:
        config_name: of a shipped config.
        task: what the command does with the composed config.
        run_in_sweep: does the task for one job of a sweep, in the job's folder; None for a command without sweeps.

    Returns:
        The exit code.

    Raises:
        UserError: the command line or the config is wrong, or the task said so.
    """
    # Hydra would print errors its own way and exit; they are explained here instead.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    failures: list[UserError | ProcessError] = []
    failed_jobs: list[str] = []

    @functools.wraps(task)
    def explained_task(config: DictConfig) -> Any:
        # Kept until Hydra has returned: it would add a line of its own, and a sweep goes on with the next job.
        hydra_config = HydraConfig.get()
        is_sweep = hydra_config.mode == RunMode.MULTIRUN
        try:
            if config.get("dry_run") and not is_sweep:
                raise UserError("dry_run=true shows the jobs of a sweep: add sweep=NAME or -m with KEY=A,B.")
            if is_sweep and run_in_sweep is not None:
                return run_in_sweep(task, config, Path(hydra_config.runtime.output_dir))
            return task(config)
        except Exception as error:
            if not is_sweep:
                failures.append(in_words(error, config_name))
                return None
            message = find_user_error(error) or explain(error, config_name) or f"{type(error).__name__}: {error}"
            failed_jobs.append(str(message))
            print(f"error: {message}", file=sys.stderr)
            raise  # Hydra keeps it as the job's result, also where the job runs in a process of a launcher

    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(explained_task)()
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, HydraException):
            # From Hydra, which makes the folder; what the task raises is kept above.
            raise UserError(f"The folder of the run cannot be made or written: {error}.") from error
        if failed_jobs and not isinstance(error, UserError | ProcessError):
            raise ProcessError(f"{len(failed_jobs)} of the sweep's jobs failed.") from error
        raise in_words(error, config_name) from error
    if failures:
        raise failures[0] from failures[0].__cause__
    return 0
