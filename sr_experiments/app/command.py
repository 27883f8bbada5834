"""Runs a command as a Hydra app, and says in a sentence what was wrong with its command line."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from sr_experiments.app.config import conf_dir, dotted_keys, options_of
from sr_experiments.app.listing import register_listing
from sr_experiments.app.naming import register_names
from sr_experiments.errors import ProcessError, UserError, find_user_error, nearest
from sr_experiments.runs.moved import todays_key

# What a command does with its composed config.
Task = Callable[[DictConfig], Any]

register_names()
register_listing()


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
    import hydra

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
        if failed_jobs and not isinstance(error, UserError | ProcessError):
            raise ProcessError(f"{len(failed_jobs)} of the sweep's jobs failed.") from error
        raise in_words(error, config_name) from error
    if failures:
        raise failures[0] from failures[0].__cause__
    return 0


def in_words(error: Exception, config_name: str) -> UserError | ProcessError:
    """The message for people that an error stands for.

    Raises:
        Exception: `error` itself, where it is nothing that the user could put right.
    """
    if isinstance(error, ProcessError):
        return error
    message = find_user_error(error) or explain(error, config_name)
    if message is None:
        raise error
    result = UserError(str(message))
    result.__cause__ = error
    return result


def compose_config(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a shipped config outside a Hydra app.

    Raises:
        HydraException: it cannot be composed.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(config_name, overrides=list(overrides))


def added_keys() -> list[str]:
    """Dotted keys that the command line of the running Hydra app added with `+`."""
    overrides = HydraConfig.get().overrides.task
    return [override.lstrip("+").split("=")[0].split("@")[0] for override in overrides if override.startswith("+")]


def explain(error: BaseException, config_name: str) -> str | None:
    """One or two sentences for an error of the command line or of the config; None for any other error."""
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "The device ran out of memory: use a smaller data.batch_size, and trainer.accumulate_grad_batches to make "
            "up for it."
        )
    if isinstance(error, ValueError) and "Config group override must be a string" in str(error):
        return "A group cannot be set to null: leave its option out with ~GROUP, as in ~experiment."
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key
        return f"{key} must be given: add {key}=VALUE to the command line."
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigAttributeError | ConfigKeyError):
        named = re.search(r"'([^']+)'", str(error))
        if named:
            moved = todays_key(named[1])
            if moved is not None:
                return f"There is no key {named[1]} any more: it is now {moved}."
            known = _known_keys(config_name) - {named[1]}
            return f"There is no key {named[1]}.{nearest(named[1], known)} `--help` lists the groups and options."
    if isinstance(error, InterpolationKeyError):
        return f"The config refers to a key that does not exist: {str(error).splitlines()[0]}."
    if isinstance(error, HydraException | OmegaConfBaseException):
        lines = [line for line in str(error).splitlines() if line.strip()]
        return " ".join([*lines[:2], *(str(cause).splitlines()[:1] if cause else [])])
    return None


def _missing_option(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file)
    group, _, option = missing.rpartition("/")
    options = [str(name) for name in error.options or []]
    if not options and group:
        options = [file.stem for file in options_of(group)]
    listed = f" It has: {', '.join(options)}." if options else ""
    return f"{group or 'The config'} has no option {option}.{nearest(option, options)}{listed}"


def _known_keys(config_name: str) -> set[str]:
    """Keys of the config as it is with those overrides that only choose options."""
    choices = []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if any(file.stem == value for file in options_of(key)):
            choices.append(word)
    try:
        config = compose_config(config_name, choices)
    except HydraException:
        config = compose_config(config_name, [])
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    return dotted_keys(OmegaConf.to_container(config, resolve=False)) | groups


def option_value(arguments: Sequence[str], key: str) -> str | None:
    """The value of the last `key=value` among command line arguments."""
    values = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == key]
    return values[-1] if values else None


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """The `key=value` arguments of a command line, without Hydra's flags."""
    return [argument for argument in arguments if not argument.startswith("-") and re.match(r"[~+]|[^=]+=", argument)]
