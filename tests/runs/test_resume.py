"""Kill a training anywhere, run the same command with resume=auto, and nothing shows that it was ever killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.resume import checkpoint_to_resume
from tests.harness import TINY, command, environment, run, train

RUN = [
    *TINY,
    "data.num_workers=2",
    "trainer.max_steps=80",
    "trainer.val_check_interval=10",
    "callbacks.checkpoints.every=4",
    "ema_decay=0.9",
    "resume=auto",
]


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("train", *RUN, *arguments),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def last_step(cwd: Path) -> int:
    files = list(cwd.glob("outputs/*/*/metrics.csv"))
    if not files:
        return 0
    lines = files[0].read_text().splitlines()[1:]
    steps = [line.split(",")[0] for line in lines]
    return int(steps[-1]) if steps and steps[-1].isdigit() else 0


def kill_at(cwd: Path, step: int) -> int:
    """Start the run, kill -9 it and its loader processes once `step` is logged; return the step it had reached."""
    process = start(cwd)
    deadline = time.monotonic() + 200
    while last_step(cwd) < step:
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "the run did not get on"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return last_step(cwd)


def folder_of(cwd: Path) -> Path:
    (folder,) = {file.parent for file in cwd.glob("outputs/*/*/metrics.csv")}
    return folder


def same(a: Any, b: Any, path: str = "") -> None:
    """Assert that two checkpoints agree bit for bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}[{index}]")
    else:
        assert a == b, path


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    done = start(calm)
    output = done.communicate(timeout=240)[0]
    assert done.returncode == 0, output

    reached = [kill_at(killed, 6), kill_at(killed, 21), kill_at(killed, 30)]
    assert max(reached) < 80
    done = start(killed)
    output = done.communicate(timeout=240)[0]
    assert done.returncode == 0, output
    assert "Continuing" in output

    one, two = (folder_of(cwd) for cwd in (calm, killed))
    checkpoints = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (one, two)]
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        same(checkpoints[0][key], checkpoints[1][key], key)
    assert (one / "metrics.csv").read_text() == (two / "metrics.csv").read_text()

    again = start(killed)
    assert "finished already" in again.communicate(timeout=60)[0]
    assert again.returncode == 0


def test_a_half_written_checkpoint_is_never_picked_up(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, "trainer.max_steps=2").returncode == 0
    (folder / "results.json").unlink()
    (folder / "checkpoints" / "last.ckpt.partial").write_bytes(b"half")
    done = train(folder, "trainer.max_steps=2", "resume=auto")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("other", ["model.features=8", "model.blocks=2"])
def test_a_checkpoint_of_another_network_is_refused(other: str, tmp_path: Path) -> None:
    assert train(tmp_path / "run", "trainer.max_steps=1").returncode == 0
    done = train(tmp_path / "other", f"resume={tmp_path / 'run'}", other)
    assert done.returncode == 2
    assert "another network" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_of_another_scale_is_refused_though_its_weights_fit(tmp_path: Path) -> None:
    srcnn = ["model=srcnn", "model.features=[4,4]"]
    arguments = [argument for argument in TINY if not argument.startswith("model")] + ["trainer.max_steps=1"]
    first = run("train", *arguments, *srcnn, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    done = run("train", *arguments, *srcnn, "scale=2", f"resume={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 2
    assert "trained for x4 and this run is for x2" in done.stderr


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, "trainer.max_steps=1").returncode == 0
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    limit = len(before) // 1024 // 2  # blocks of 1024 bytes: too small for a checkpoint
    arguments = " ".join(f"'{argument}'" for argument in [*TINY, f"hydra.run.dir={folder}", "trainer.max_steps=3"])
    program = " ".join(command("train"))
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; ulimit -f {limit}; exec {program} {arguments} resume=auto"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "untouched" in done.stderr
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "flipped": flip,
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "empty": lambda file: file.write_bytes(b""),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_checkpoint_is_noticed_and_the_best_one_taken(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = RunFolder(tmp_path)
    there.checkpoints.mkdir()
    assert checkpoint_to_resume("auto", tmp_path) is None
    for file in (there.last_checkpoint, there.best_checkpoint):
        torch.save({"weights": torch.rand(10_000)}, file)
    assert checkpoint_to_resume("auto", tmp_path) == there.last_checkpoint
    assert not caplog.records
    DAMAGES[damage](there.last_checkpoint)
    with pytest.raises(UserError, match=r"last.ckpt is damaged"):
        checkpoint_to_resume(str(tmp_path), tmp_path / "other")
    assert checkpoint_to_resume("auto", tmp_path) == there.best_checkpoint
    assert f"going on from {there.best_checkpoint}" in caplog.text
    DAMAGES[damage](there.best_checkpoint)
    with pytest.raises(UserError, match=r"last.ckpt and .*best.ckpt cannot be read; overwrite=true"):
        checkpoint_to_resume("auto", tmp_path)


def test_a_run_goes_on_from_its_best_checkpoint_as_if_nothing_was_damaged(tmp_path: Path) -> None:
    # The lowest PSNR is the one of the first validation.
    common = ["trainer.val_check_interval=2", "trainer.max_steps=4", "callbacks.checkpoints.mode=min"]
    calm, damaged = tmp_path / "calm", tmp_path / "damaged"
    assert train(calm, *common).returncode == 0
    assert train(damaged, *common).returncode == 0
    (damaged / "results.json").unlink()
    best = torch.load(damaged / "checkpoints" / "best.ckpt", weights_only=True)["global_step"]
    flip(damaged / "checkpoints" / "last.ckpt")
    done = train(damaged, *common, "resume=auto")
    assert done.returncode == 0, done.stderr
    assert best == 2
    assert "Going on from step 2 of 4" in done.stdout
    states = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (calm, damaged)]
    same(states[0]["state_dict"], states[1]["state_dict"])
    same(states[0]["optimizer_states"], states[1]["optimizer_states"])
    done = train(damaged, *common, "resume=auto")
    assert done.returncode == 0, done.stderr
    assert "Nothing is left to train: the checkpoint has all 4 updates" in done.stdout
