"""Ends a run in good order, with its last update saved: at SIGTERM, what a cluster sends instead, or Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from sr_experiments.errors import Preempted

log = logging.getLogger(__name__)


@runtime_checkable
class SavesLast(Protocol):
    """A checkpoint callback that can be asked to write `last.ckpt` now."""

    def save_last(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it unless it is written."""


class Preemption(pl.Callback):
    """Ends a run that is asked to leave: in the training after the update at work, with `last.ckpt`; else at once.

    All processes leave after the same update. Outside of training there is nothing to save: before a validation
    `last.ckpt` has been written, and a test starts anew. Lightning's own way is not used, since it lets the processes
    talk to each other inside the signal handler, in the middle of whatever else they are saying.

    SIGTERM always means it, and so does Ctrl-C; a second Ctrl-C, a second or more later, ends the run at once. On
    SLURM, SIGUSR1 (`sbatch --signal=USR1@60`) means it, too, and requeues the job; where submitit listens to SIGUSR1 or
    SIGUSR2 already, it is called instead, once everything is saved.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.asked_at = 0.0
        self.is_listening = False
        self.is_training = False
        self.is_leaving = False
        self.earlier: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take notice of signals; only a program's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.earlier = {number: signal.getsignal(number) for number in signals_to_leave()}
        for number in self.earlier:
            signal.signal(number, self.notice)
        self.is_listening = True
        try:
            yield
        finally:
            self.is_listening = False
            for number, handler in self.earlier.items():
                signal.signal(number, handler)

    def notice(self, number: int, frame: Any) -> None:
        """Be asked to leave. To ask once more changes nothing, but for a second Ctrl-C."""
        # One Ctrl-C may come twice: from the terminal, and handed on by the process that started this one.
        again = number == signal.SIGINT == self.asked and time.monotonic() - self.asked_at >= 1
        if self.asked is None:
            self.asked, self.asked_at = number, time.monotonic()
        if (not self.is_training and not self.is_leaving) or again:
            self.leave()

    def leave(self) -> None:
        """Leave now.

        Raises:
            KeyboardInterrupt: Ctrl-C was what asked.
            Preempted: anything else was.
        """
        self.is_leaving = True
        number = signal.SIGTERM if self.asked is None else self.asked
        handler = self.earlier.get(number)
        if callable(handler):
            handler(number, None)
        elif number not in (signal.SIGTERM, signal.SIGINT):
            requeue()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Preempted(f"asked to leave by {signal.Signals(number).name}")

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let Lightning do nothing when a signal comes but hand it on."""
        if self.is_listening:
            trainer._signal_connector._sigterm_notifier_fn = _ignore  # type: ignore[assignment, method-assign]
            environment = trainer._accelerator_connector.cluster_environment
            if isinstance(environment, SLURMEnvironment):
                environment.auto_requeue = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From now on there is something to save."""
        self.is_training = True

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Save and leave, where any process was asked to."""
        if self.is_agreed(trainer):
            if isinstance(trainer.checkpoint_callback, SavesLast):
                trainer.checkpoint_callback.save_last(trainer, pl_module)
                log.info("Saved step %d: resume=auto goes on from it.", trainer.global_step)
            self.leave()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All is saved: from here the processes may leave at once, each on its own."""
        self.is_training = False
        if self.asked is not None:
            self.leave()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training goes on."""
        self.is_training = trainer.state.fn == "fit" and not trainer.sanity_checking

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave before the test, where it was asked for while the last update was at work."""
        self.is_training = False
        if self.is_agreed(trainer):
            if isinstance(trainer.checkpoint_callback, SavesLast):
                trainer.checkpoint_callback.on_train_end(trainer, pl_module)
            self.leave()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Nothing will be saved any more."""
        self.is_training = False

    def is_agreed(self, trainer: pl.Trainer) -> bool:
        """Whether any process was asked to leave; the same answer in all of them."""
        if trainer.world_size == 1:
            return self.asked is not None
        asked = torch.tensor(float(self.asked is not None), device=trainer.strategy.root_device)
        return bool(trainer.strategy.reduce(asked, reduce_op="max") > 0)


def signals_to_leave() -> list[int]:
    """The signals that ask a run to leave, here and now."""
    numbers: list[int] = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell lets programs in the background ignore Ctrl-C
        numbers.append(signal.SIGINT)
    if "SLURM_JOB_ID" in os.environ and SLURMEnvironment.detect():
        numbers.append(signal.SIGUSR1)
        if callable(signal.getsignal(signal.SIGUSR2)):
            numbers.append(signal.SIGUSR2)
    return numbers


@rank_zero_only
def requeue() -> None:
    """Have SLURM start this job again; where one process has started the others, that is its business."""
    if TorchElasticEnvironment.detect():
        return
    array, job = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ["SLURM_JOB_ID"]
    name = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job
    try:
        subprocess.run(["scontrol", "requeue", name], check=True)
        log.info("Requeued the SLURM job %s.", name)
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("The SLURM job %s could not be requeued: %s.", name, error)


def _ignore(number: int, frame: Any) -> None:
    """Stands in for what Lightning would do at SIGTERM."""
