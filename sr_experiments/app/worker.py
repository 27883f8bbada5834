"""What the worker processes of a run do: the run's task, on the composed config that lies in its folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf

from sr_experiments.app.evaluate import evaluate
from sr_experiments.app.explain import in_words
from sr_experiments.app.run import train
from sr_experiments.runs.folder import RunFolder


def training(folder: Path, rank: int) -> None:
    """A process of a training."""
    _run_task(train, "train", folder, rank)


def evaluation(folder: Path, rank: int) -> None:
    """A process of an evaluation."""
    _run_task(evaluate, "eval", folder, rank)


def _run_task(task: Callable[[DictConfig], Any], config_name: str, folder: Path, rank: int) -> None:
    try:
        task(load_job(folder, rank))
    except Exception as error:
        raise in_words(error, config_name) from error


def load_job(folder: Path, rank: int) -> DictConfig:
    """The composed config of a run, with Hydra's own part set up as in the process that composed it."""
    setup_globals()
    config = OmegaConf.create(RunFolder(folder).read_config())
    own = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
    OmegaConf.set_struct(own.hydra, False)
    whole = OmegaConf.merge(own, OmegaConf.create({"hydra": RunFolder(folder).read_hydra()}), config)
    assert isinstance(config, DictConfig)
    assert isinstance(whole, DictConfig)
    HydraConfig.instance().set_config(whole)
    if rank == 0:
        configure_log(whole.hydra.job_logging, whole.hydra.verbose)
    else:
        logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    return config
