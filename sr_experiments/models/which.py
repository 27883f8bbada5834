"""Which of the shipped models can do something, for sentences that refuse the others."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from sr_experiments.models.traits import Traits, traits
from sr_experiments.shipped import conf_dir


def models_that(can: Callable[[Traits], Any]) -> str:
    """Options of the group `model` as a command line takes them: `model=carn | carn_m | mdsr`.

    Args:
        can: whether a network that says this of itself is meant. Nothing is built: what only a built network knows, as
            its channels, has its default.
    """
    return "model=" + " | ".join(name for name, said in _options().items() if can(said))


@cache
def _options() -> dict[str, Traits]:
    """What the class of every shipped option says of itself."""
    found = {}
    for file in sorted((conf_dir() / "model").glob("*.yaml")):
        module, _, name = str(OmegaConf.load(file)._target_).rpartition(".")
        found[file.stem] = traits(getattr(importlib.import_module(module), name))
    return found
