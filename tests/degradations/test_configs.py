"""The shipped YAML files of degradations and metrics: each can be built, and no option is left out of sight."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted((*CONF.glob("degradation/*.yaml"), *CONF.glob("metrics/*.yaml")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_config_builds_and_shows_every_option(path: Path) -> None:
    part = OmegaConf.create({"scale": 3, "part": OmegaConf.load(path)}).part
    built = instantiate(part)
    assert isinstance(built, get_class(part._target_))
    assert getattr(built, "scale", None) == 3 or getattr(built, "border", None) == 3
    options = set(inspect.signature(type(built)).parameters)
    assert options == set(part) - {"_target_"}
