"""Composing the shipped configs, and what a command line says of that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sr_experiments.app.listing import register_listing
from sr_experiments.app.naming import register_names
from sr_experiments.shipped import conf_dir

register_names()
register_listing()


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


def option_value(arguments: Sequence[str], key: str) -> str | None:
    """The value of the last `key=value` among command line arguments."""
    values = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == key]
    return values[-1] if values else None


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """The `key=value` arguments of a command line, without Hydra's flags."""
    return [argument for argument in arguments if not argument.startswith("-") and re.match(r"[~+]|[^=]+=", argument)]
