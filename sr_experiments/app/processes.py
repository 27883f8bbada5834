"""A command's task, in this process or in workers of its own."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.plugins.environments import TorchElasticEnvironment

from sr_experiments.errors import UserError
from sr_experiments.processes.preemption import Preemption
from sr_experiments.processes.start import is_worker, run_workers, started_from_outside
from sr_experiments.runs.folder import RunFolder


def check_shared_folder() -> None:
    """Refuse processes that were started from outside and would each make a run folder of their own.

    Raises:
        UserError: the folder is named after the clock.
    """
    if is_worker() or not started_from_outside():
        return
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and TorchElasticEnvironment.detect():
        raise UserError("A sweep starts the processes of its jobs itself: call sr-train -m without torchrun.")
    if hydra.mode == RunMode.RUN and not any(word.startswith("hydra.run.dir=") for word in hydra.overrides.hydra):
        raise UserError("All processes of a run must agree on its folder: give hydra.run.dir=FOLDER.")


def run_in_workers(task: str, count: int, preemption: Preemption) -> None:
    """Start workers for a task of `sr_experiments.app.worker`, wait for them, and see to it that none is left.

    Raises:
        UserError: a worker said so, or Hydra left no composed config for them.
        ProcessError: a worker broke off.
        KeyboardInterrupt: Ctrl-C, after all workers are gone.
        Preempted: SIGTERM, after all workers have saved and are gone.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if not RunFolder(folder).is_run():
        raise UserError("The processes of a run read its config from .hydra in its folder: leave hydra.output_subdir.")
    log_file = RunFolder(folder).log(hydra.job.name)
    run_workers(f"sr_experiments.app.worker:{task}", folder, count, preemption, log_file)
