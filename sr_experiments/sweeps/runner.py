"""Runs the jobs of a sweep through the chosen launcher, and prints its progress."""

from __future__ import annotations

import logging
import shlex
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sr_experiments.errors import ProcessError, UserError
from sr_experiments.runs.owner import hold, is_held
from sr_experiments.runs.results import read_results, write_failure
from sr_experiments.sweeps.command import Command, read_command
from sr_experiments.sweeps.folder import ENDED, SweepFolder, choose_folder
from sr_experiments.sweeps.jobs import Job
from sr_experiments.sweeps.ranking import rank, ranking_table
from sr_experiments.sweeps.settings import Settings, read_settings

# State of a job -> what is done about it.
ACTIONS = {"waiting": "run", "interrupted": "go on", "running": "running elsewhere", "finished": "done already"}
# Seconds between two checks of jobs that another command is running.
LOOK_EVERY_S = 2.0


class Runner:
    """One command's work on a sweep.

    Args:
        context: Hydra's, which knows the configs.
        config: the composed config of the sweep.
        launcher: how jobs are started.
        arguments: the overrides of the command line, without Hydra's own.

    Raises:
        UserError: something about the sweep is wrong.
    """

    def __init__(self, context: HydraContext, config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> None:
        if config.resume not in (None, "auto"):
            raise UserError(
                f"resume={config.resume}: a sweep takes resume=auto. To start all its jobs from one network, give "
                "init_from=RUN_OR_CKPT."
            )
        self.context = context
        self.config = config
        self.launcher = launcher
        self.console = Console(soft_wrap=True, highlight=False)
        self.settings: Settings = read_settings(config)
        self.command: Command = read_command(arguments, config)
        root = Path(config.paths.sweep_root).expanduser()
        self.folder: SweepFolder
        self.folder, self.goes_on = choose_folder(config, self.command, config.resume == "auto", root)
        config.hydra.sweep.dir = str(self.folder.path)
        self.tries: Counter[str] = Counter()
        self.allowed: dict[str, int] = {}
        # A launcher that runs jobs in this process gets one at a time, so that other commands can take the rest.
        self.in_a_row = isinstance(launcher, BasicLauncher)
        if self.in_a_row:
            logging.getLogger(BasicLauncher.__module__).setLevel(logging.WARNING)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line."""
        self.console.print(text, style=style, markup=False)

    def action(self, job: Job) -> str:
        """What will be done about a job."""
        status = self.folder.state(job.folder)["status"]
        if status == "failed":
            return "try again" if self.settings.retry else "failed before"
        return ACTIONS.get(status, status)

    def announce(self, jobs: Sequence[Job], most: int | None = None) -> None:
        """Print what will be done.

        Args:
            jobs: the jobs known so far.
            most: the largest number of jobs, where not all are known yet.
        """
        actions = Counter(self.action(job) for job in jobs)
        todo = sum(count for action, count in actions.items() if action in ("run", "go on", "try again"))
        parts = ", ".join(f"{count} {action}" for action, count in actions.items())
        name = f"{self.command.name}: " if self.command.name else ""
        total = len(jobs) if most is None else most
        self.say(
            f"Sweep {name}{'up to ' if most else ''}{total} {plural('job', total)}{f' ({parts})' if parts else ''}"
        )
        goes_on = "goes on in" if self.goes_on else "is kept in"
        if self.config.resume == "auto" and not self.goes_on:
            self.say("There is no earlier sweep like this one to go on with: it begins anew.")
        self.say(f"It {goes_on} {self.folder.path}")
        self.say(self.estimate(todo + (max(0, most - len(jobs)) if most else 0)))

    def estimate(self, todo: int) -> str:
        """The time that the remaining jobs will take, estimated from the finished ones."""
        record = self.folder.read()
        seconds = [entry["seconds"] for entry in (record["jobs"] if record else []) if entry.get("seconds") is not None]
        if not todo:
            return "Nothing is left to run."
        if not seconds:
            return "How long it takes can be told once the first job is done."
        each = statistics.fmean(seconds)
        alone = "" if self.in_a_row else ", if they ran one after the other"
        return f"{todo} to go: about {duration(todo * each)}{alone} (a job took {duration(each)} so far)"

    def show_jobs(self, jobs: Sequence[Job]) -> None:
        """List all jobs with their folders, and what would be done about each."""
        for number, job in enumerate(jobs, start=1):
            self.say(f"{number:4d}  {self.action(job):<17}  {job.title}  ({job.folder})")

    def run(self, jobs: Sequence[Job]) -> None:
        """Run the jobs that have no outcome yet, and wait for those that other commands are running.

        A job that another command runs is checked again until it has ended; if that command dies, this one resumes the
        job.
        """
        self.folder.join(self.command, self.settings, jobs)
        if not (self.folder.path / "multirun.yaml").exists():
            OmegaConf.save(self.config, self.folder.path / "multirun.yaml")
        for job in jobs:
            failed = self.folder.state(job.folder)["status"] == "failed"
            self.allowed.setdefault(job.identity, self.settings.retry + (not failed))
        told = False
        while True:
            ready = [job for job in jobs if self.wants(job)]
            free = [job for job in ready if not is_held(self.folder.path / job.folder)]
            if free:
                self.launch(free[:1] if self.in_a_row else free, jobs)
            elif ready:
                if not told:
                    self.say(f"Waiting for {len(ready)} {plural('job', len(ready))} that other commands are running.")
                    told = True
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def wants(self, job: Job) -> bool:
        """Whether a job has no outcome yet and this command may still try it."""
        status = self.folder.state(job.folder)["status"]
        tried = self.tries[job.identity]
        if status in ENDED or (status == "interrupted" and tried):
            return False
        if status == "failed" and not tried and self.allowed[job.identity] > self.settings.retry:
            return False  # another command has tried it since
        return tried < self.allowed[job.identity]

    def launch(self, batch: Sequence[Job], jobs: Sequence[Job]) -> None:
        """Pass jobs to the launcher, and continue whether or not they succeed."""
        with ExitStack() as held:
            if self.in_a_row:
                (job,) = batch
                if not held.enter_context(hold(self.folder.path / job.folder, timeout=0)) or not self.wants(job):
                    return
                self.say(f"Job {jobs.index(job) + 1} of {len(jobs)}: {job.title}", style="bold")
            for job in batch:
                self.tries[job.identity] += 1
            try:
                # The outcome of each job is in its folder.
                results = self.launcher.launch(
                    [job.launch_overrides(self.folder.path) for job in batch], initial_job_idx=jobs.index(batch[0])
                )
            except (KeyboardInterrupt, SystemExit):
                self.say("Interrupted: the same command with resume=auto goes on.")
                raise
            except UserError:
                raise
            except Exception as error:
                self.say(f"The launcher broke off: {type(error).__name__}: {error}")
                results = []
            for job, result in zip(batch, results, strict=False):
                # A process that was killed has left no results of its own.
                folder = self.folder.path / job.folder
                if result.status == JobStatus.FAILED and read_results(folder) is None:
                    write_failure(folder, result._return_value)
        for job in batch:
            if is_held(self.folder.path / job.folder):
                self.tries[job.identity] -= 1  # another command was first
        self.folder.refresh()
        left = sum(self.wants(job) for job in jobs)
        if left:
            self.say(self.estimate(left))

    def finish(self, jobs: Sequence[Job]) -> None:
        """Show the ranking and what failed.

        Raises:
            ProcessError: not all jobs of this command are finished.
        """
        record = self.folder.refresh()
        self.show_ranking(rank(record["jobs"], self.settings), record["jobs"])
        entries = self.folder.entries(jobs)
        for entry in entries:
            if entry["status"] == "pruned":
                self.say(f"pruned: {entry['title']} ({self.folder.path / entry['folder']})", style="dim")
        missing = [entry for entry in entries if entry["status"] not in ENDED]
        for entry in missing:
            error = f": {entry['error'].removeprefix('UserError: ')}" if "error" in entry else ""
            log = f" (log: {entry['log']})" if "log" in entry else ""
            self.say(f"{entry['status']}: {entry['title']}{error}{log}", style="red")
        self.say(f"Record: {self.folder.record_file}")
        if list(self.folder.path.glob("*/wandb/offline-run-*")):
            self.say(f"Upload to W&B: wandb sync {shlex.quote(str(self.folder.path))}/*/wandb/offline-run-*")
        if missing:
            counts = Counter(entry["status"] for entry in missing)
            what = ", ".join(f"{count} {status}" for status, count in counts.items())
            again = "resume=auto sweep.retry=1" if counts["failed"] else "resume=auto"
            raise ProcessError(
                f"{len(missing)} of {len(jobs)} {plural('job', len(jobs))} did not finish: {what}. The same command "
                f"with {again} goes on with them."
            )

    def show_ranking(self, rows: Sequence[dict[str, Any]], entries: Sequence[dict[str, Any]]) -> None:
        """Print the table, or why there is none."""
        if rows:
            Console().print(ranking_table(rows, self.settings))
            return
        done = [entry for entry in entries if entry["status"] == "finished"]
        if done:
            known = sorted({key for entry in done for scores in entry.get("test", {}).values() for key in scores})
            sets = sorted({name for entry in done for name in entry.get("test", {})})
            self.say(
                f"Nothing to rank by: no job has {', '.join(self.settings.metrics)} on "
                f"{self.settings.set_name or 'a test set'}; the sets are {', '.join(sets) or 'none'}, the metrics "
                f"{', '.join(key for key in known if key != 'bicubic') or 'none'}, and there are seconds, steps and "
                "parameters."
            )


def plural(word: str, count: int) -> str:
    """A number with its noun in the singular or plural."""
    return word if count == 1 else f"{word}s"


def duration(seconds: float) -> str:
    """A duration in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
