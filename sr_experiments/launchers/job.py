"""One job of a sweep, in a form that another process can run."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

log = logging.getLogger(__name__)


@dataclass
class LaunchedJob:
    """A job of a sweep.

    Attributes:
        number: its number in the sweep.
        overrides: its own, and those of all jobs of the sweep.
        sweep_config: the config of the sweep.
        hydra_context: Hydra's own.
        task: called with the job's config.
        singletons: Hydra's global state in the process that started the sweep.
    """

    number: int
    overrides: list[str]
    sweep_config: DictConfig
    hydra_context: HydraContext
    task: TaskFunction
    singletons: dict[Any, Any]

    def __getstate__(self) -> dict[str, Any]:
        # The config is composed again in the process that runs the job.
        return {key: value for key, value in self.__dict__.items() if key != "config"}

    @cached_property
    def config(self) -> DictConfig:
        """The composed config of this job, Hydra's part included."""
        return self.compose([])

    @property
    def folder(self) -> Path:
        """The run folder."""
        sweep = self.config.hydra.sweep
        return Path(sweep.dir, str(sweep.subdir)).absolute()

    @property
    def title(self) -> str:
        """The folder, seen from the sweep's."""
        return str(self.folder.relative_to(Path(self.config.hydra.sweep.dir).absolute()))

    def compose(self, more: Sequence[str]) -> DictConfig:
        """Compose the config of this job with more overrides."""
        config = self.hydra_context.config_loader.load_sweep_config(self.sweep_config, [*self.overrides, *more])
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{self.number}"
            config.hydra.job.num = self.number
        return config

    def run(self, more: Sequence[str] = (), leave_traces: bool = True) -> JobReturn:
        """Run the job in this process.

        Args:
            more: overrides that come on top.
            leave_traces: whether Hydra logs to the run folder and writes its config there.
        """
        Singleton.set_state(self.singletons)
        setup_globals()
        config = self.compose(more)
        if not leave_traces:
            config.hydra.output_subdir = None
        HydraConfig.instance().set_config(config)
        result = run_job(
            hydra_context=self.hydra_context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            configure_logging=leave_traces,
        )
        return portable(result)

    def failed(self, error: Exception) -> JobReturn:
        """The result of a job that failed without leaving one."""
        config = self.config.copy()
        with open_dict(config):
            hydra_config = config.pop("hydra")
        result = JobReturn(overrides=list(hydra_config.overrides.task), cfg=config, hydra_cfg=hydra_config)
        result.task_name = hydra_config.job.name
        result.status = JobStatus.FAILED
        result.return_value = error
        return result

    def print_outcome(self, result: JobReturn, output: Path) -> None:
        """Print how the job ended and where its log is."""
        if result.status == JobStatus.FAILED:
            log.error("%s failed: %s (output: %s)", self.title, result._return_value, output)
        else:
            log.info("%s has ended (output: %s)", self.title, output)


def portable(result: JobReturn) -> JobReturn:
    """The result with its exception replaced by one that can be pickled."""
    if result.status == JobStatus.FAILED:
        error = result._return_value
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            result.return_value = RuntimeError(f"{type(error).__name__}: {error}")
    return result


class JobLauncher(Launcher):
    """A launcher that makes a `LaunchedJob` of every job."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes to every launcher."""
        self.hydra_context = hydra_context
        self.task = task_function
        self.sweep_config = config

    def jobs(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[LaunchedJob]:
        """The jobs of a sweep, from the overrides of each."""
        setup_globals()
        Path(str(self.sweep_config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        state = Singleton.get_state()
        return [
            LaunchedJob(first + index, list(overrides), self.sweep_config, self.hydra_context, self.task, state)
            for index, overrides in enumerate(job_overrides)
        ]
