"""The sweepers of sr-train. Hydra takes plugins from this namespace package only; their work is done elsewhere."""

from __future__ import annotations

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs a job for every combination of the axes' values; see `sr_experiments.sweeps.grid`."""

    hydra_context: HydraContext
    config: DictConfig
    launcher: Launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that the command line and the config describe."""
        # Hydra imports this module at every start, so the imports wait until there is a sweep.
        from sr_experiments.sweeps.grid import run_grid

        return run_grid(self.hydra_context, self.config, self.launcher, arguments)


class OptunaSweeper(GridSweeper):
    """Lets Optuna choose the points, from intervals as well; see `sr_experiments.sweeps.search`.

    Args:
        trials: jobs of the whole search, those of earlier commands included.
        at_once: jobs that are handed to the launcher together, before their results are known.
        seed: decides which points are tried.
    """

    def __init__(self, trials: int = 20, at_once: int = 1, seed: int = 1) -> None:
        self.trials = trials
        self.at_once = at_once
        self.seed = seed

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search that the command line and the config describe."""
        from sr_experiments.sweeps.search import run_search

        return run_search(
            self.hydra_context, self.config, self.launcher, arguments, self.trials, self.at_once, self.seed
        )
