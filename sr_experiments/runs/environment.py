"""What a run was made with, beside libraries: the code and the machine, without users, variables and addresses."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch


@cache
def environment() -> dict[str, Any]:
    """Describe code and machine, once a process: what is loaded does not change when files do.

    Returns:
        `git` (see `git_state`), `cuda` and `cudnn` as torch was built with (None without),
        `devices` (names of the GPUs), `platform`, `cpus` and `host`.
    """
    has_gpu = torch.cuda.is_available()
    return {
        "git": git_state(Path(__file__).parent),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if has_gpu else None,
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "host": platform.node(),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of the code in a folder, and whether tracked files were changed since (`dirty`).

    None where the code is not under version control: an installed package may lie inside somebody else's checkout.
    """
    if _git(folder, "ls-files", "--error-unmatch", ".") is None:
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
