"""Runs that take several processes: each is started as a worker that reads the run's composed config from its folder.

Lightning would start them with the command line of the first one, which for a sweep means the sweep once more.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.accelerators import CPUAccelerator, CUDAAccelerator
from pytorch_lightning.plugins.environments import (
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from sr_experiments.errors import PREEMPTED, ProcessError, UserError
from sr_experiments.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    from sr_experiments.processes.preemption import Preemption

SECONDS_TO_LEAVE = 30  # for workers that are told to stop; then they are killed
OF_USER_ERRORS = "UserError: "
INTERRUPTED = 130  # an exit code


def uses_gpu(accelerator: str) -> bool:
    """Whether `trainer.accelerator` means NVIDIA's or AMD's GPUs on this machine."""
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def device_count(trainer: DictConfig) -> int:
    """How many devices of this machine `trainer.devices` means.

    Raises:
        UserError: there are not so many.
    """
    devices, accelerator = trainer.devices, trainer.accelerator
    asked: Any = list(devices) if not isinstance(devices, int | str) else devices
    if accelerator == "mps" or (accelerator == "gpu" and torch.backends.mps.is_available()):
        if asked not in (1, "1", "auto", -1, "-1"):
            raise UserError(f"trainer.devices={devices} cannot be had: this machine has one GPU.")
        return 1
    if not uses_gpu(accelerator):
        if asked == "auto":
            return 1
        try:
            return CPUAccelerator.parse_devices(asked)
        except TypeError as error:
            raise UserError(f"On the CPU, trainer.devices={devices} must be a number of processes.") from error
    there = torch.cuda.device_count()
    try:
        found = CUDAAccelerator.parse_devices(there if asked == "auto" else asked)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise UserError(
            f"trainer.devices={devices} cannot be had: this machine has {there} GPU{'s' * (there != 1)}."
        ) from error
    return len(found or [])


def workers_wanted(trainer: DictConfig) -> int:
    """How many worker processes this process has to start for a run; 0 where it does the work itself.

    It does where it is one of several that torchrun, SLURM's srun or the like have started, or where one is enough.

    Raises:
        UserError: there are not enough devices, or the processes cannot be started.
    """
    if started_from_outside():
        return 0
    count = device_count(trainer)
    strategy = trainer.strategy
    if isinstance(strategy, str) and strategy.endswith(("_spawn", "_fork", "_notebook")):
        raise UserError(f"trainer.strategy={strategy} starts processes in a way of its own: use ddp.")
    if trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes={trainer.num_nodes}: several machines have to be started from outside, each with "
            f"`torchrun --nnodes {trainer.num_nodes} --nproc-per-node {count} ... "
            "-m sr_experiments.commands.train` or by srun."
        )
    return count if count > 1 or strategy != "auto" else 0


def started_from_outside() -> bool:
    """Whether this process is one of several that somebody else has started for one run."""
    if TorchElasticEnvironment.detect():
        return True
    if "SLURM_JOB_ID" in os.environ and SLURMEnvironment.detect():
        return int(os.environ["SLURM_NTASKS"]) > 1 and "SLURM_PROCID" in os.environ
    return LSFEnvironment.detect() or MPIEnvironment.detect()


def is_worker() -> bool:
    """Whether this process was started by `run_workers`."""
    return "SR_WORKER_OF" in os.environ


def run_workers(task: str, folder: Path, count: int, preemption: Preemption, log_file: Path) -> None:
    """Start workers for a task, wait for them, and see to it that none is left.

    Args:
        task: the function that the workers call with the folder and their rank, as `package.module:function`.
        folder: the run folder, where the composed config lies.
        count: how many.
        preemption: is asked to leave by the signals that come meanwhile.
        log_file: where the output of the first process is kept, for messages.

    Raises:
        UserError: a worker said so.
        ProcessError: a worker broke off.
        KeyboardInterrupt: Ctrl-C, after all workers are gone.
        Preempted: SIGTERM, after all workers have saved and are gone.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # It tells of every signal that it hands on.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="sr_workers_") as notes, stopped_by_signals(preemption) as stopped:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",  # a free port
            local_addr="127.0.0.1",
            max_restarts=0,
            signals_to_handle="",  # they are handled here
            shutdown_timeout=SECONDS_TO_LEAVE,
            logs_specs=DefaultLogsSpecs(log_dir=notes),
        )
        # -P: the current folder, in which anything may lie, does not come first where modules are looked for.
        worker = ["-P", "-m", "sr_experiments.processes.worker", task, str(folder.resolve()), str(os.getpid())]
        try:
            with same_module_path():
                elastic_launch(config, sys.executable)(*worker)
        except Exception as error:
            if preemption.asked is not None:
                preemption.leave()
            if stopped:
                raise KeyboardInterrupt from None
            if not isinstance(error, ChildFailedError):
                raise
            raise_outcome(error.failures, folder, preemption, log_file)


@contextmanager
def same_module_path() -> Iterator[None]:
    """Let processes that are started here look for modules where this one does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def stopped_by_signals(preemption: Preemption) -> Iterator[list[int]]:
    """Let signals end the waiting for workers, once: what comes later must not disturb their leaving.

    A second Ctrl-C does: then the workers are killed.

    Yields:
        The signals that have come.
    """
    from torch.distributed.elastic.multiprocessing import SignalException

    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def handle(number: int, frame: Any) -> None:
        stopped.append(number)
        if number == signal.SIGINT:
            raise SignalException("interrupted", signal.SIGINT)
        if preemption.asked is None:
            preemption.asked = number
            raise SignalException("asked to leave", signal.SIGTERM)

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, *preemption.earlier)}
    try:
        yield stopped
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def raise_outcome(failures: dict[int, ProcessFailure], folder: Path, preemption: Preemption, log_file: Path) -> None:
    """Summarise the failures of workers; those that only followed from another are not mentioned.

    Raises:
        UserError: a worker said so.
        ProcessError: a worker broke off.
        KeyboardInterrupt: workers were interrupted, and nothing else.
        Preempted: workers were asked to leave, and nothing else.
    """
    rows = sorted(failures.items(), key=lambda row: row[1].timestamp)
    words = {rank: said(failure) for rank, failure in rows}
    for rank, _ in rows:
        if words[rank].startswith(OF_USER_ERRORS):
            raise UserError(words[rank].removeprefix(OF_USER_ERRORS))
    # Those that were stopped because of another have the same exit codes as those that were asked to by the user.
    asked = {PREEMPTED, -signal.SIGTERM}
    broken = [(rank, failure) for rank, failure in rows if failure.exitcode not in asked | {INTERRUPTED}]
    if not broken:
        if any(failure.exitcode == INTERRUPTED for _, failure in rows):
            raise KeyboardInterrupt
        preemption.leave()
    # A process that was killed has said nothing, while the others complain that it is gone.
    rank, failure = min(broken, key=lambda row: row[1].exitcode >= 0)
    if failure.exitcode < 0:
        reason = "was killed by " + signal.Signals(-failure.exitcode).name
        reason += " (by you, or for want of memory)" if failure.exitcode == -signal.SIGKILL else ""
    else:
        reason = "failed: " + (words[rank] or f"exit code {failure.exitcode}")
    raise ProcessError(
        f"Process {rank} of {folder} {reason} (its log is {RunFolder(folder).worker_log(rank) if rank else log_file})"
    )


def said(failure: ProcessFailure) -> str:
    """What a worker wrote down about its end; empty where it could not."""
    message: Any = failure.error_file_data.get("message")
    return message["message"] if isinstance(message, dict) else ""
