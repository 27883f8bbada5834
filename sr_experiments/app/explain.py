"""Says in a sentence what was wrong with a command line or a config."""

from __future__ import annotations

import re
import sys

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import dotted_keys, options_of
from sr_experiments.errors import ProcessError, UserError, find_user_error, nearest
from sr_experiments.runs.moved import todays_key
from sr_experiments.shipped import conf_dir


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
