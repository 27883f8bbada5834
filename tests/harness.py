"""Real runs of seconds for the tests: real processes, real files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# A network and crops so small that a process spends its time on starting; no score that would fetch weights.
TINY = [
    "model=small",
    "model.features=4",
    "model.blocks=1",
    "data.crop_size=16",
    "data.batch_size=4",
    "data.num_workers=0",
    "logger=csv",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "perceptual=off",
]


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"sr_experiments.commands.{module}", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"}


def run(module: str, *arguments: str, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(module, *arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout
    )


def train(folder: Path, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """`sr-train` of a tiny network into `folder`."""
    return run("train", *TINY, f"hydra.run.dir={folder}", *arguments, cwd=folder.parent, timeout=timeout)
