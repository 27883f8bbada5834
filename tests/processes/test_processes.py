"""Runs of several processes from start to end, and that none of them is left over, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from sr_experiments.app.compose import compose_config
from sr_experiments.app.trainer import check_run
from sr_experiments.errors import UserError
from sr_experiments.processes.start import workers_wanted
from tests.harness import TINY, command, environment, run, train

TWO = [*TINY, "trainer=ddp_cpu", "trainer.max_steps=1000000", "trainer.log_every_n_steps=1"]


def trainer_config(*overrides: str) -> DictConfig:
    return compose_config("train", ["trainer.accelerator=cpu", *overrides]).trainer


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ([], 0),
        (["trainer.devices=auto"], 0),
        (["trainer.devices=3"], 3),
        (["trainer=ddp_cpu"], 2),
        (["trainer=ddp_cpu", "trainer.devices=1"], 1),  # a process group of one, which must not stay in this process
    ],
)
def test_processes_are_started_where_a_run_takes_several(overrides: list[str], count: int) -> None:
    assert workers_wanted(trainer_config(*overrides)) == count


def test_no_process_is_started_where_somebody_else_did(monkeypatch: pytest.MonkeyPatch) -> None:
    two = trainer_config("trainer=ddp_cpu")
    with monkeypatch.context() as patch:
        patch.setenv("TORCHELASTIC_RUN_ID", "1")
        assert workers_wanted(two) == 0
    of_slurm = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
    for name, value in of_slurm.items():
        monkeypatch.setenv(name, value)
    assert workers_wanted(two) == 0
    monkeypatch.setenv("SLURM_NTASKS", "1")  # a script of one task: srun has not started the other
    assert workers_wanted(two) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.accelerator=gpu", "trainer.devices=99"], "trainer.devices=99 cannot be had: this machine has"),
        (["trainer.devices=-1"], "trainer.devices=-1 must be a number of processes"),
        (["trainer.strategy=ddp_spawn"], "use ddp"),
        (["trainer=ddp_cpu", "trainer.num_nodes=2"], "torchrun --nnodes 2 --nproc-per-node 2"),
    ],
)
def test_what_cannot_be_started_is_said_in_a_sentence(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        workers_wanted(trainer_config(*overrides))


def test_batch_norm_over_processes_is_refused_on_the_cpu() -> None:
    config = compose_config("train", ["trainer=ddp_cpu", "trainer.sync_batchnorm=true", "paths.run_folder=x"])
    with pytest.raises(UserError, match="works on GPUs only"):
        check_run(config)


def workers_of(folder: Path) -> dict[int, int]:
    """Rank -> process id of the workers of a run that are alive."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            variables = (process / "environ").read_bytes().decode().split("\0")
        except OSError:  # gone meanwhile, or somebody else's
            continue
        if "sr_experiments.processes.worker" in words and str(folder) in words:
            (rank,) = [variable.partition("=")[2] for variable in variables if variable.startswith("RANK=")]
            found[int(rank)] = int(process.name)
    return found


def assert_no_worker_is_left(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while workers_of(folder):
        assert time.monotonic() < deadline, f"left over: {workers_of(folder)}"
        time.sleep(0.05)


@pytest.fixture
def training(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run of two processes without an end that has begun to train."""
    if sys.platform != "linux":
        pytest.skip("looks for processes in /proc")
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command("train", *TWO, f"hydra.run.dir={folder}"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not (folder / "metrics.csv").exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline, "the run did not get on"
        time.sleep(0.05)
    assert set(workers_of(folder)) == {0, 1}
    yield process, folder
    if process.poll() is None:
        process.kill()
    process.communicate()


def results(folder: Path) -> dict[str, object]:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_ctrl_c_stops_all_processes(training: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = training
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors
    assert results(folder)["status"] == "interrupted"
    assert_no_worker_is_left(folder)


@pytest.mark.slow
def test_workers_die_with_the_process_that_started_them(training: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = training
    process.kill()
    process.wait()
    assert_no_worker_is_left(folder)


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_and_is_named(training: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = training
    os.kill(workers_of(folder)[1], signal.SIGKILL)
    errors = process.communicate(timeout=90)[1]
    assert process.returncode == 1, errors
    last = errors.splitlines()[-1]
    assert "Process 1" in last
    assert "was killed by SIGKILL" in last
    assert str(folder / "logs" / "rank_1.log") in last
    assert "was killed by SIGKILL" in str(results(folder)["error"])
    assert results(folder)["status"] == "failed"
    assert_no_worker_is_left(folder)


def test_what_a_worker_says_to_the_user_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = train(folder, "trainer=ddp_cpu", "data.batch_size=3", "trainer.max_steps=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: batch_size: 3 images a step cannot be shared equally by 2 processes")
    assert len(done.stderr.splitlines()) == 1
    assert results(folder)["status"] == "failed"
    assert_no_worker_is_left(folder)


@pytest.mark.slow
def test_a_sweep_of_games_in_two_processes(tmp_path: Path) -> None:
    """Two jobs one after the other; each has one folder, is tested, and leaves nothing behind."""
    options = ["loss=srgan_mse", "loss.adversarial.discriminator.channels=4", "loss.adversarial.discriminator.hidden=4"]
    ends = ["trainer.max_steps=3", "trainer.val_check_interval=2", "hydra.sweep.dir=sweep", "seed=1,2"]
    done = run("train", "-m", *TINY, "trainer=ddp_cpu", *options, *ends, cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr
    folders = sorted({file.parent.parent for file in (tmp_path / "sweep").glob("*/.hydra/config.yaml")})
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "sweep"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"]
    for folder in folders:
        assert results(folder)["status"] == "finished"
        assert results(folder)["test"]
        assert len((folder / "metrics.csv").read_text().splitlines()) == 4
        assert (folder / "logs" / "rank_1.log").exists()
        assert not workers_of(folder)
    assert done.stdout.count("Results: ") == 2  # once a job, not once a process


@pytest.mark.slow
def test_a_failing_job_does_not_stop_the_sweep(tmp_path: Path) -> None:
    ends = ["trainer.max_steps=1", "hydra.sweep.dir=sweep", "data.batch_size=3,4"]
    done = run("train", "-m", *TINY, "trainer=ddp_cpu", *ends, cwd=tmp_path, timeout=500)
    assert done.returncode not in (0, None), done.stdout
    assert "cannot be shared equally by 2 processes" in done.stderr
    found = {results(file.parent)["status"] for file in (tmp_path / "sweep").glob("*/results.json")}
    assert found == {"finished", "failed"}
    assert "Traceback" not in done.stderr
