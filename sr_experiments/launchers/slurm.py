"""Jobs of a sweep on a SLURM cluster: srun starts their processes; preempted jobs are requeued."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, configure_log
from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError, nearest
from sr_experiments.launchers.job import JobLauncher, LaunchedJob

if TYPE_CHECKING:
    from submitit import Job as Submitted
    from submitit.helpers import DelayedSubmission

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2
SECONDS_FOR_FILES = 15  # seconds until a shared file system shows what a node has written
SETUP = (
    # srun does not inherit this from sbatch.
    'if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi',
    "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}",
)


@dataclass
class Request:
    """The resources that one job requests.

    Attributes:
        nodes: machines.
        tasks_per_node: processes on each machine, one a device.
        gpus_per_node: GPUs on each machine; `auto`: one a process where `trainer.accelerator` is `gpu`, else none.
        cpus_per_task: cores of each process; None: the cluster's default.
        mem_gb: memory on each machine; None: the cluster's default.
        timeout_min: time limit in minutes.
        signal_delay_s: seconds before the time limit at which the job saves and goes back into the queue.
        requeues: how many time limits the job may reach after its first.
        jobs: how many jobs run at a time.
        partition: where the job runs; None: the cluster's default.
        account: the account to charge; None: the cluster's default.
        setup: shell commands that run before the job.
        options: further options of sbatch, by their long names.
        folder: where the script and the output of the job go.
    """

    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int | str = "auto"
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    timeout_min: int = 720
    signal_delay_s: int = 120
    requeues: int = 20
    jobs: int = 256
    partition: str | None = None
    account: str | None = None
    setup: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    folder: str = "slurm"

    @classmethod
    def of(cls, config: DictConfig) -> Request:
        """The request of a job, from its composed config.

        Raises:
            UserError: a key is unknown, or the number of processes cannot be told.
        """
        options: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        del options["_target_"]
        check_names(options)
        request = cls(**options)
        if not isinstance(request.tasks_per_node, int) or request.tasks_per_node < 1:
            raise UserError(
                f"On SLURM a job must say how many devices it wants on each machine: trainer.devices="
                f"{request.tasks_per_node} is no such number."
            )
        if request.gpus_per_node == "auto":
            request.gpus_per_node = request.tasks_per_node if config.trainer.accelerator in ("gpu", "cuda") else 0
        return request

    def __str__(self) -> str:
        gpus = f" with {self.gpus_per_node} GPUs" if self.gpus_per_node else ""
        return f"{self.nodes} nodes{gpus}, {self.tasks_per_node} processes on each, {self.timeout_min} minutes"

    def parameters(self) -> dict[str, Any]:
        """The same as parameters of submitit's executor."""
        found = {
            "time": self.timeout_min,
            "nodes": self.nodes,
            "ntasks_per_node": self.tasks_per_node,
            "gpus_per_node": self.gpus_per_node or None,
            "cpus_per_task": self.cpus_per_task,
            "mem": None if self.mem_gb is None else f"{round(self.mem_gb * 1024)}MB",
            "signal_delay_s": self.signal_delay_s,
            "array_parallelism": self.jobs,
            "partition": self.partition,
            "account": self.account,
            "setup": [*SETUP, *self.setup],
            "additional_parameters": {"requeue": True, **self.options},
            "stderr_to_stdout": True,
            # If one process fails, the others must not wait for it.
            "srun_args": ["--kill-on-bad-exit=1"],
        }
        return {key: value for key, value in found.items() if value is not None}


class Slurm(JobLauncher):
    """Submits all jobs to SLURM and waits for them.

    The request may differ from job to job. A job that is preempted or reaches its time limit saves, is
    requeued and resumes when it starts again. If this process ends early, the jobs stay in SLURM's queue.

    Args:
        options: a `Request`.

    Raises:
        UserError: an option is unknown, or there is no SLURM here.
    """

    def __init__(self, **options: Any) -> None:
        check_names(options)
        if shutil.which("sbatch") is None:
            raise UserError("There is no SLURM on this machine: the command sbatch was not found.")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait for them.

        Returns:
            Their results in the order of the jobs; failed ones included.
        """
        hydra = self.sweep_config.hydra
        configure_log(hydra.hydra_logging, hydra.verbose)
        jobs = self.jobs(job_overrides, initial_job_idx)
        waiting = {pair[0].number: pair for group in grouped(jobs) for pair in submit(*group)}
        identifiers = " ".join(sorted({submitted.job_id.partition("_")[0] for _, submitted in waiting.values()}))
        log.info(
            "Waiting for %d jobs. They go on without this process; to end them: scancel %s", len(jobs), identifiers
        )
        results: dict[int, JobReturn] = {}
        gone_since: dict[int, float] = {}
        while waiting:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            queued = in_queue(submitted.job_id for _, submitted in waiting.values())
            for number, (job, submitted) in list(waiting.items()):
                if queued is not None and submitted.job_id not in queued:
                    gone_since.setdefault(number, time.monotonic())
                is_late = time.monotonic() - gone_since.get(number, time.monotonic()) > SECONDS_FOR_FILES
                if result_file(submitted).exists() or is_late:
                    results[number] = outcome(job, submitted)
                    del waiting[number]
        return [results[job.number] for job in jobs]


class OnNode:
    """Runs in every process of a SLURM job.

    Args:
        job: the job.
    """

    def __init__(self, job: LaunchedJob) -> None:
        self.job = job

    def __call__(self) -> JobReturn | None:
        """Run the job; resume it where SLURM has started it before.

        Returns:
            The result, in the first process.
        """
        rank = int(os.environ.get("SLURM_PROCID", "0"))
        started_before = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
        more = ["resume=auto"] if started_before and "resume" in self.job.sweep_config else []
        if rank == 0:
            return self.job.run(more)
        # The first process decides how the job ends: srun would kill it if another process ended first.
        try:
            result = self.job.run(more, leave_traces=False)
        except SystemExit:
            return None
        if result.status == JobStatus.FAILED:
            time.sleep(SECONDS_FOR_FILES)
            raise result._return_value
        return None

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit when the job is requeued."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def check_names(options: Iterable[str]) -> None:
    """Refuse unknown options.

    Raises:
        UserError: there is one.
    """
    known = {item.name for item in fields(Request)}
    for name in options:
        if name not in known:
            raise UserError(f"There is no key hydra.launcher.{name}.{nearest(name, known)}")


def grouped(jobs: Sequence[LaunchedJob]) -> list[tuple[Request, list[LaunchedJob]]]:
    """Jobs grouped by their request."""
    groups: list[tuple[Request, list[LaunchedJob]]] = []
    for job in jobs:
        request = Request.of(job.config)
        for other, members in groups:
            if other == request:
                members.append(job)
                break
        else:
            groups.append((request, [job]))
    return groups


def submit(request: Request, jobs: Sequence[LaunchedJob]) -> list[tuple[LaunchedJob, Submitted]]:
    """Submit jobs with the same request as one array."""
    try:
        import submitit
    except ImportError as error:
        raise UserError('hydra/launcher=slurm needs submitit: pip install "sr-experiments[slurm]".') from error
    executor = submitit.SlurmExecutor(Path(request.folder).absolute(), max_num_timeout=request.requeues)
    executor.update_parameters(job_name=f"sr-{jobs[0].config.hydra.job.name}", **request.parameters())
    try:
        found = executor.submit_array([OnNode(job) for job in jobs])
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise UserError(f"SLURM refused the jobs ({request}): {str(error).strip()}") from error
    for job, submitted in zip(jobs, found, strict=True):
        log.info("%s is SLURM's %s (%s): %s", job.title, submitted.job_id, request, job.folder)
    return list(zip(jobs, found, strict=True))


def in_queue(identifiers: Iterable[str]) -> set[str] | None:
    """Which of these jobs are pending or running; None where SLURM does not answer."""
    arrays = sorted({name.partition("_")[0] for name in identifiers})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return set() if "Invalid job id" in done.stderr else None
    return set(done.stdout.split())


def result_file(submitted: Submitted) -> Path:
    """The file for the result of the first process."""
    return submitted.task(0).paths.result_pickle


def outcome(job: LaunchedJob, submitted: Submitted) -> JobReturn:
    """The result of a job that has left the queue."""
    output = submitted.task(0).paths.stdout
    try:
        kind, value = pickle.loads(result_file(submitted).read_bytes())
    except OSError:
        kind, value = "error", f"SLURM's job {submitted.job_id} ended without a result; it was cancelled, perhaps"
    if kind == "success" and isinstance(value, JobReturn):
        result = value
    else:
        result = job.failed(UserError(f"{str(value).strip().splitlines()[-1]} (output: {output})"))
    job.print_outcome(result, output)
    return result
