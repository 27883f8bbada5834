"""A run that is asked to leave saves, says so by its exit code, and goes on later as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.harness import TINY, command, environment, run
from tests.runs.test_resume import folder_of, last_step, same

RUN = [
    *TINY,
    "trainer.max_steps=24",
    "trainer.val_check_interval=8",
    "callbacks.checkpoints.every=1000",
    "ema_decay=0.9",
    "resume=auto",
]
GAN = ["loss=srgan_mse", "loss.adversarial.discriminator.channels=4", "loss.adversarial.discriminator.hidden=4"]
# Large photographs, so that an evaluation takes its time.
LARGE = [
    "data.sets=[{large:{_target_:sr_experiments.data.training_photographs}}]",
    "trainer.limit_val_batches=2",
    "trainer.limit_test_batches=3",
]


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen(
        command("train", *RUN, *arguments),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(cwd: Path, *arguments: str) -> str:
    cwd.mkdir(exist_ok=True)
    done = run("train", *RUN, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def wait_until(condition: object, process: subprocess.Popen[str]) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "the run did not get on"
        time.sleep(0.005)


def ask_to_leave(
    process: subprocess.Popen[str], whole_group: bool = False, number: signal.Signals = signal.SIGTERM
) -> str:
    """Send a signal, and wait until the process is gone; gives what it printed."""
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == (143 if number == signal.SIGTERM else 130), output
    assert "Traceback" not in output
    return output


def status(cwd: Path) -> dict[str, object]:
    return json.loads((folder_of(cwd) / "results.json").read_text())


def assert_same_end(calm: Path, asked: Path) -> None:
    one, two = (folder_of(cwd) for cwd in (calm, asked))
    for name in ("last", "best"):
        checkpoints = [torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True) for folder in (one, two)]
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
            same(checkpoints[0][key], checkpoints[1][key], f"{name}.{key}")
    assert (one / "metrics.csv").read_text() == (two / "metrics.csv").read_text()
    assert status(asked)["test"] == status(calm)["test"]


def saved_step(cwd: Path) -> int:
    return torch.load(folder_of(cwd) / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def pending_validation(cwd: Path) -> int | None:
    """The step after which `last.ckpt` was written, if the validation that follows was not done then."""
    file = folder_of(cwd) / "checkpoints" / "last.ckpt"
    if not file.exists():
        return None
    checkpoint = torch.load(file, weights_only=True)
    (state,) = [value for key, value in checkpoint["callbacks"].items() if key.startswith("Checkpoints")]
    return checkpoint["global_step"] if state["validation_pending"] else None


@pytest.mark.slow
def test_sigterm_in_the_training_saves_and_the_run_goes_on_exactly(tmp_path: Path) -> None:
    calm, asked = tmp_path / "calm", tmp_path / "asked"
    finish(calm, "data.num_workers=2")
    process = start(asked, "data.num_workers=2")
    wait_until(lambda: last_step(asked) >= 7, process)
    # As a cluster does it: loader processes get it, too.
    ask_to_leave(process, whole_group=True)
    assert status(asked)["status"] == "interrupted"
    assert saved_step(asked) == last_step(asked) == status(asked)["steps"]
    assert "Continuing" in finish(asked, "data.num_workers=2")
    assert_same_end(calm, asked)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], ["trainer=ddp_cpu"]])
def test_ctrl_c_saves_as_sigterm_does(processes: list[str], tmp_path: Path) -> None:
    process = start(tmp_path, *processes)
    wait_until(lambda: last_step(tmp_path) >= 5, process)
    output = ask_to_leave(process, whole_group=not processes, number=signal.SIGINT)
    step = saved_step(tmp_path)
    assert step == last_step(tmp_path) == status(tmp_path)["steps"]
    assert status(tmp_path)["status"] == "interrupted"
    assert f"Saved step {step}: resume=auto goes on from it" in output
    assert f"Going on from step {step} of 24" in finish(tmp_path, *processes)


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, 24])
def test_sigterm_in_a_validation_loses_nothing(step: int, tmp_path: Path) -> None:
    """The one after an update in the middle, and the one after the last."""
    calm, asked = tmp_path / "calm", tmp_path / "asked"
    arguments = [*LARGE, *GAN]
    finish(calm, *arguments)
    process = start(asked, *arguments)
    wait_until(lambda: last_step(asked) >= step and pending_validation(asked) == step, process)
    ask_to_leave(process)
    assert status(asked)["status"] == "interrupted"
    assert pending_validation(asked) == step
    finish(asked, *arguments)
    assert_same_end(calm, asked)


@pytest.mark.slow
def test_two_processes_leave_at_the_same_update(tmp_path: Path) -> None:
    calm, asked = tmp_path / "calm", tmp_path / "asked"
    two = ["trainer=ddp_cpu", *GAN]
    finish(calm, *two)
    process = start(asked, *two)
    wait_until(lambda: last_step(asked) >= 7, process)
    ask_to_leave(process)
    assert status(asked)["status"] == "interrupted"
    assert saved_step(asked) == last_step(asked)
    finish(asked, *two)
    assert_same_end(calm, asked)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], ["trainer=ddp_cpu"]])
def test_sigterm_in_the_test_leaves_the_training_finished(processes: list[str], tmp_path: Path) -> None:
    arguments = ["trainer.max_steps=2", *LARGE, *processes]
    process = start(tmp_path, *arguments)
    wait_until(lambda: list(tmp_path.glob("outputs/*/*/images/large/*.png")), process)
    ask_to_leave(process)
    assert status(tmp_path)["status"] == "interrupted"
    finish(tmp_path, *arguments)
    assert status(tmp_path)["status"] == "finished"
