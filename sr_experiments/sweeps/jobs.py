"""The jobs of a sweep: all composed and checked before the first one runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from sr_experiments.app.compose import added_keys
from sr_experiments.app.explain import in_words
from sr_experiments.app.trainer import check_run
from sr_experiments.errors import UserError
from sr_experiments.processes.start import workers_wanted
from sr_experiments.runs.resume import run_digest
from sr_experiments.sweeps.command import Command, quoted

LONGEST_NAME = 120


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        point: the value of every axis.
        overrides: what its config is composed from.
        identity: digest of the composed config.
        folder: name of its run folder inside the sweep's.
    """

    point: dict[str, str]
    overrides: list[str]
    identity: str
    folder: str

    @property
    def title(self) -> str:
        """Its name for people."""
        return title(self.point)

    def launch_overrides(self, sweep_folder: Path) -> list[str]:
        """The overrides for the launcher: those of the job, its own run folder, and resuming from what is in it."""
        where = [f"hydra.sweep.dir={quoted(str(sweep_folder))}", f"hydra.sweep.subdir={quoted(self.folder)}"]
        return [*self.overrides, "resume=auto", *where]


def title(point: dict[str, str]) -> str:
    """A point in words."""
    return ", ".join(f"{name}={value}" for name, value in point.items()) or "the only job"


def folder_name(point: dict[str, str], digest: str) -> str:
    """A name that says what the job is and can be written without quotes in a shell and in an override."""
    parts = [re.sub(r"[^\w.-]+", "_", f"{name}-{value}").strip("_") for name, value in point.items()]
    return "+".join(["+".join(parts)[:LONGEST_NAME] or "job", digest[:8]])


def compose_job(context: HydraContext, config: DictConfig, command: Command, point: dict[str, str], here: bool) -> Job:
    """Compose and check the job at a point.

    Args:
        context: Hydra's, which knows the configs.
        config: the composed config of the sweep.
        command: what was asked for.
        point: the value of every axis.
        here: whether it will run on the devices of this machine.

    Raises:
        UserError: it cannot be composed, holds keys that nothing reads, or wants more devices than there are.
    """
    overrides = command.overrides(point)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.runtime.output_dir = str(config.hydra.sweep.dir)
        outer = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(composed)
        try:
            added = added_keys()
            del composed["hydra"]
            digest = run_digest(composed)
            check_run(composed, added)
            if here:
                workers_wanted(composed.trainer)
        finally:
            HydraConfig.instance().cfg = outer
    return Job(point, overrides, digest, folder_name(point, digest))


def compose_jobs(
    context: HydraContext, config: DictConfig, command: Command, say: Callable[[str], None], here: bool = True
) -> list[Job]:
    """Compose and check the jobs at all points; jobs with the same config become one, with a message.

    Raises:
        UserError: one of them cannot be; it is named.
    """
    jobs: dict[str, Job] = {}
    points = command.points()
    for number, point in enumerate(points, start=1):
        job = named(lambda: compose_job(context, config, command, point, here), point, number, len(points))  # noqa: B023
        if job.identity in jobs:
            say(f"{job.title} has the same config as {jobs[job.identity].title}: it is run once.")
        else:
            jobs[job.identity] = job
    return list(jobs.values())


def named(compose: Callable[[], Job], point: dict[str, str], number: int, count: int) -> Job:
    """Name the job in whose config something is wrong."""
    try:
        return compose()
    except Exception as error:
        which = f" Job {number} of {count} ({title(point)}) is the first that it concerns." if count > 1 else ""
        raise UserError(f"{in_words(error, 'train')}{which} No job was started.") from error


def choices_of(jobs: Iterable[Job]) -> dict[str, list[str]]:
    """The values that each axis takes over the jobs, in their order."""
    values: dict[str, list[str]] = {}
    for job in jobs:
        for name, value in job.point.items():
            if value not in values.setdefault(name, []):
                values[name].append(value)
    return values
