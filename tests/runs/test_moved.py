"""Configs of runs that were made before trainings had recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from sr_experiments.app.compose import compose_config
from sr_experiments.runs.moved import todays_key, with_first_keys, with_todays_keys
from sr_experiments.runs.resume import find_run, run_digest

OLD = Path(__file__).parents[1] / "old_runs"
RUNS = json.loads((OLD / "after_four.json").read_text())["runs"]


def stored(name: str) -> dict[str, Any]:
    config: Any = OmegaConf.to_container(OmegaConf.load(OLD / name / ".hydra" / "config.yaml"), resolve=False)
    return config


def composed(name: str, *more: str) -> DictConfig:
    return compose_config("train", [*RUNS[name]["overrides"], "trainer.max_steps=2", *more])


@pytest.mark.parametrize("name", RUNS)
def test_an_old_config_reads_as_it_is_composed_today(name: str) -> None:
    today: Any = OmegaConf.to_container(composed(name), resolve=False)
    old = stored(name)
    read = with_todays_keys(old)
    for key in ("training", "optimizer", "loss"):
        assert read[key] == today[key]
    assert {**read["model"], **({"noise": 0} if name in ("l1_ema", "srgan") else {})} == today["model"]
    assert with_first_keys(read)["training"] == old["training"]
    assert with_first_keys(today)["optimizer"] == old["optimizer"]
    assert with_todays_keys(today) == today


@pytest.mark.parametrize("name", RUNS)
def test_resume_finds_an_old_run(name: str) -> None:
    """By the config that the same command composes today, but for where the folders lie."""
    config, old = composed(name), OmegaConf.create(stored(name))
    assert isinstance(old, DictConfig)
    config.paths = old.paths
    assert run_digest(config) == run_digest(old)
    assert find_run(config, OLD) == OLD / name
    config.training.stages.pool.crop_size = 7
    assert run_digest(config) != run_digest(old)


def test_keys_that_have_moved_are_named() -> None:
    assert todays_key("training.pair_pool") == "training.stages.pool.pairs"
    assert todays_key("training.discriminator_optimizer.epsilon") == "training.recipe.discriminator_optimizer.eps"
    assert todays_key("optimizer.epsilon") == "optimizer.eps"
    assert todays_key("training.on_nonfinite") is None
    assert todays_key("training.recipe.loss") is None
    assert todays_key("loss.terms.l1.term.epsilon") is None
