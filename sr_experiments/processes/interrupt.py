"""Ctrl-C and SIGTERM in the processes that a run or a sweep starts, and in its loaders."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

log = logging.getLogger(__name__)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at Ctrl-C, which Lightning turns into exit code 1, ignoring any further one."""
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None


class Terminated(SystemExit):
    """SIGTERM has come."""


class ChildProcess(Protocol):
    """A process that runs jobs."""

    def signal(self, number: int) -> None:
        """Send it a signal."""

    def stop(self) -> None:
        """End it."""


@contextmanager
def handing_on_signals(
    children: Sequence[ChildProcess], running: Mapping[Future[Any], Any], seconds: float
) -> Iterator[None]:
    """Hand Ctrl-C and SIGTERM on to all child processes, and wait up to `seconds` until their jobs have left."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, Terminated) as stop:
        number = signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM
        for child in children:
            child.signal(number)
        log.warning("Stopping %d jobs.", len(running))
        until = time.monotonic() + seconds
        while time.monotonic() < until and not all(future.done() for future in running):
            wait(running, timeout=1)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        for child in children:
            child.stop()


def leave_with(parent: int, seconds: float) -> None:
    """Send this process SIGTERM when its parent is no more, and end it `seconds` later if it is still there."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_only_with_parent(worker: int) -> None:
    """Let a loader process end at its parent's SIGTERM alone, not at one that a whole process group gets.

    A cluster sends SIGTERM to every process of a job, and the training process then saves before it leaves. For that it
    still needs its loaders; that one of them is gone would be an error in the middle of an update.

    Args:
        worker: the number of the loader process; it does not matter.
    """
    if not hasattr(signal, "sigwaitinfo"):  # neither macOS nor Windows has it, nor a cluster
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
