"""One process of a run that takes several: `python -m sr_experiments.processes.worker TASK FOLDER PARENT`.

It is started by `sr_experiments.processes.start`; its task reads the composed config from FOLDER, never a command line.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

# Only light imports here: until the worker hears its parent die, it could be left over.

PR_SET_PDEATHSIG = 1
SECONDS_BETWEEN_LOOKS = 1.0


def main() -> int:
    """Entry point of a worker."""
    task, folder, parent = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    end_with_parent(parent)
    os.environ["SR_WORKER_OF"] = str(parent)
    rank, count = int(os.environ["RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if rank > 0:
        redirect_output(folder, rank)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    try:
        return work(task, folder, rank)
    except KeyboardInterrupt:
        return 130


def work(task: str, folder: Path, rank: int) -> int:
    """Do the task; what goes wrong is noted for the parent.

    Returns:
        The exit code.
    """
    import importlib

    from torch import distributed
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    from sr_experiments.errors import UserError

    module_name, _, function = task.partition(":")
    try:
        getattr(importlib.import_module(module_name), function)(folder, rank)
    except Exception as error:
        if not isinstance(error, UserError):
            logging.getLogger(__name__).exception("Process %d failed.", rank)
        get_error_handler().record_exception(error)
        return 2 if isinstance(error, UserError) else 1
    if distributed.is_initialized():
        distributed.destroy_process_group()  # else its threads may abort a process that ends while they run
    return 0


def end_with_parent(parent: int) -> None:
    """Never outlive the parent, whatever kills it.

    Linux sees to it by itself; elsewhere, and in addition, a thread looks now and then whether the parent is there.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def redirect_output(folder: Path, rank: int) -> None:
    """Write everything that is printed to a file of its own, behind what an earlier attempt left there."""
    from sr_experiments.runs.folder import RunFolder

    path = RunFolder(folder).worker_log(rank)
    path.parent.mkdir(exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file, stream.fileno())
    os.close(file)


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
