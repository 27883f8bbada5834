"""Real runs of seconds for the tests: real processes, real files."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# A server that imports the libraries once, in one thread, and is forked for every command.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["torchvision", "sr_experiments.app.worker", "sr_experiments.app.trainer", "sr_experiments.training.module"]
)

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


def run(
    module: str, *arguments: str, cwd: Path, timeout: float = 240, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`sr-MODULE` in a process of its own, forked from one that has imported the libraries and done nothing else."""
    words = [f"sr-{module}", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _SERVER.Process(target=_command, args=(module, words, cwd, variables or environment(), streams))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout, *(stream.read_bytes() for stream in streams))
        stdout, stderr = (stream.read_text(errors="replace") for stream in streams)
    return subprocess.CompletedProcess(words, process.exitcode or 0, stdout, stderr)


def _command(module: str, words: list[str], cwd: Path, variables: dict[str, str], streams: list[Path]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:0] = [entry for entry in variables.get("PYTHONPATH", "").split(os.pathsep) if entry]
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = words
    sys.exit(importlib.import_module(f"sr_experiments.commands.{module}").main())


def train(folder: Path, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """`sr-train` of a tiny network into `folder`."""
    return run("train", *TINY, f"hydra.run.dir={folder}", *arguments, cwd=folder.parent, timeout=timeout)
