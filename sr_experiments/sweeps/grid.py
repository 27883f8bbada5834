"""A sweep over all combinations of the axes' values."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from sr_experiments.sweeps.jobs import compose_jobs
from sr_experiments.sweeps.runner import Runner


def run_grid(context: HydraContext, config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> None:
    """Compose and check all jobs, print the plan, run them, and rank them.

    Args:
        context: Hydra's, which knows the configs.
        config: the composed config of the sweep.
        launcher: how jobs are started.
        arguments: the overrides of the command line, without Hydra's own.

    Raises:
        UserError: something about the sweep is wrong; nothing was started.
        ProcessError: jobs failed.
    """
    runner = Runner(context, config, launcher, arguments)
    jobs = compose_jobs(context, config, runner.command, runner.say, here=runner.in_a_row)
    runner.announce(jobs)
    if config.dry_run:
        runner.show_jobs(jobs)
        return
    runner.run(jobs)
    runner.finish(jobs)
