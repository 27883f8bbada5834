"""Several jobs of a sweep side by side on this machine, each with its own GPUs or its share of the cores."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, configure_log

from sr_experiments.errors import UserError
from sr_experiments.launchers.job import JobLauncher, LaunchedJob
from sr_experiments.processes.interrupt import handing_on_signals, leave_with
from sr_experiments.runs.folder import RunFolder

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

log = logging.getLogger(__name__)

# Seconds that jobs have to save and end when they are stopped.
SECONDS_TO_LEAVE = 60


class Local(JobLauncher):
    """Runs several jobs at a time, each in a process with its own devices.

    The output of a job goes to `output.log` in its run folder; the terminal shows starts and outcomes. A job whose
    process is killed (for lack of memory, say) fails alone. Ctrl-C and SIGTERM are passed on to the jobs, which save
    and end; if this process is killed, the jobs get SIGTERM.

    Args:
        jobs: how many run at a time. Each gets the same number of GPUs; with more jobs than GPUs they are shared.

    Raises:
        UserError: `jobs` is not positive.
    """

    def __init__(self, jobs: int = 2) -> None:
        if jobs < 1:
            raise UserError(f"hydra.launcher.jobs must be at least 1, not {jobs}.")
        self.at_a_time = jobs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs.

        Returns:
            Their results in the order of the jobs; failed ones included.
        """
        hydra = self.sweep_config.hydra
        configure_log(hydra.hydra_logging, hydra.verbose)
        waiting = deque(self.jobs(job_overrides, initial_job_idx))
        numbers = [job.number for job in waiting]
        at_a_time = min(self.at_a_time, len(waiting))
        slots = [Slot(share) for share in shares(visible_gpus(), usable_cores(), at_a_time)]
        results: dict[int, JobReturn] = {}
        running: dict[Future[JobReturn], tuple[Slot, LaunchedJob]] = {}
        with handing_on_signals(slots, running, SECONDS_TO_LEAVE):
            while waiting or running:
                busy = {id(slot) for slot, _ in running.values()}
                for slot in slots:
                    if waiting and id(slot) not in busy:
                        job = waiting.popleft()
                        log.info("%s starts%s", job.title, slot.where)
                        running[slot.submit(job)] = (slot, job)
                # With a timeout, so that signals are handled.
                done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    slot, job = running.pop(future)
                    results[job.number] = slot.result(future, job)
        return [results[number] for number in numbers]


@dataclass(frozen=True)
class Share:
    """The devices of one of the jobs that run at the same time.

    Attributes:
        gpus: names or numbers of GPUs, as in CUDA_VISIBLE_DEVICES; empty where there are none.
        cores: numbers of CPU cores; empty where jobs cannot be bound to cores, or outnumber them.
        threads: number of threads where `cores` is empty.
    """

    gpus: tuple[str, ...]
    cores: tuple[int, ...]
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that limit a process to this share."""
        found = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        if not self.cores and "OMP_NUM_THREADS" not in os.environ:
            found["OMP_NUM_THREADS"] = str(self.threads)
        return found


class Slot:
    """A process that runs jobs one after another on its own devices.

    Args:
        share: its devices.
    """

    def __init__(self, share: Share) -> None:
        self.share = share
        self.executor: ProcessPoolExecutor | None = None

    @property
    def where(self) -> str:
        """The devices in words."""
        return f" on GPU {', '.join(self.share.gpus)}" if self.share.gpus else ""

    def submit(self, job: LaunchedJob) -> Future[JobReturn]:
        """Start a job."""
        from loky import ProcessPoolExecutor  # not above: Hydra imports this module at the start of every command

        if self.executor is None:
            self.executor = ProcessPoolExecutor(
                max_workers=1,
                env=self.share.environment,
                initializer=_begin_process,
                initargs=(os.getpid(), self.share.cores),
            )
        return self.executor.submit(_run, job, RunFolder(job.folder).output_log, os.getpid())

    def result(self, future: Future[JobReturn], job: LaunchedJob) -> JobReturn:
        """The result of a job."""
        from loky.process_executor import TerminatedWorkerError

        output = RunFolder(job.folder).output_log
        error = future.exception()
        if error is None:
            result = future.result()
        elif isinstance(error, TerminatedWorkerError):
            self.stop()
            result = job.failed(UserError("The process was killed, perhaps for want of memory."))
        else:
            result = job.failed(error if isinstance(error, Exception) else RuntimeError(f"The job ended by {error!r}."))
        job.print_outcome(result, output)
        return result

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        for pid in self.executor._processes if self.executor is not None else ():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def stop(self) -> None:
        """End the process."""
        if self.executor is not None:
            self.executor.shutdown(wait=True, kill_workers=True)
            self.executor = None


def _begin_process(parent: int, cores: Sequence[int]) -> None:
    """Set up the process of a slot."""
    os.setpgid(0, 0)  # Ctrl-C goes to the parent, which passes it on
    if cores:
        os.sched_setaffinity(0, cores)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # so that output.log can be followed
    leave_with(parent, SECONDS_TO_LEAVE)


def _run(job: LaunchedJob, output: Path, parent: int) -> JobReturn:
    """Run a job; its output and that of its children go to one file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with output.open("ab") as file, _printing_to(file.fileno()):
            return job.run()
    finally:
        if os.getppid() != parent:  # the parent has ended: nobody waits for the result
            os._exit(1)


@contextmanager
def _printing_to(descriptor: int) -> Iterator[None]:
    """Send the standard output and error of this process and its children to a file."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(descriptor, number)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs visible to a program started here, without initialising CUDA."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(index) for index in range(count)]


def usable_cores() -> list[int]:
    """The CPU cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def shares(gpus: Sequence[str], cores: Sequence[int], jobs: int) -> list[Share]:
    """Divide GPUs and cores among the jobs that run at the same time.

    All jobs get the same number. Where there are fewer GPUs than jobs, several jobs share one; where
    there are fewer cores than jobs, none is bound to a core.
    """
    threads = max(1, (len(cores) or os.cpu_count() or 1) // jobs)
    dealt = []
    for index in range(jobs):
        own_gpus = portion(gpus, index, jobs) or ([gpus[index % len(gpus)]] if gpus else [])
        dealt.append(Share(tuple(own_gpus), tuple(portion(cores, index, jobs)), threads))
    return dealt


def portion(things: Sequence[Any], index: int, parts: int) -> Sequence[Any]:
    """One of several parts of equal length; the remainder belongs to none."""
    each = len(things) // parts
    return things[index * each : (index + 1) * each]
