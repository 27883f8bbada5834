"""Loader processes and signals."""

from __future__ import annotations

import os
import signal
import threading


def heed_only_the_parent(worker: int) -> None:
    """Let a loader process end at its parent's SIGTERM alone, not at one that a whole process group gets.

    A cluster sends SIGTERM to every process of a job, and the training process then saves before it leaves. For that it
    still needs its loaders; that one of them is gone would be an error in the middle of an update.

    Args:
        worker: the number of the loader process; it does not matter.
    """
    if not hasattr(signal, "sigwaitinfo"):  # neither macOS nor Windows has it, nor a cluster
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_leave_when_the_parent_says_so, daemon=True).start()


def _leave_when_the_parent_says_so() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
