"""Launchers: every option composes, shares are fair, and jobs run side by side for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from omegaconf import DictConfig

from sr_experiments.errors import UserError
from sr_experiments.launchers.local import portion, shares, visible_gpus
from sr_experiments.launchers.slurm import SETUP, Request
from sr_experiments.shipped import conf_dir
from tests.harness import TINY, command, environment

OPTIONS = sorted(file.stem for file in (conf_dir() / "hydra" / "launcher").glob("*.yaml"))


def compose_whole(*overrides: str) -> DictConfig:
    """A composed config with Hydra's own part."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_launcher_composes_and_takes_its_keys(option: str) -> None:
    config = compose_whole(f"hydra/launcher={option}").hydra.launcher
    plugins = {f"{kind.__module__}.{kind.__name__}": kind for kind in Plugins.instance().discover(Launcher)}
    kind = plugins[config["_target_"]]
    if option == "slurm":
        Request.of(compose_whole("hydra/launcher=slurm", "hydra.sweep.dir=x"))
    else:
        assert isinstance(instantiate({**config, "_target_": kind}), kind)


def test_a_job_on_slurm_has_a_process_for_each_device() -> None:
    given = ["hydra/launcher=slurm", "hydra.sweep.dir=x"]
    request = Request.of(compose_whole(*given, "trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2"))
    parameters = request.parameters()
    assert (parameters["nodes"], parameters["ntasks_per_node"], parameters["gpus_per_node"]) == (2, 4, 4)
    assert parameters["additional_parameters"] == {"requeue": True}
    request = Request.of(compose_whole(*given, "trainer=ddp_cpu", "hydra.launcher.setup=[module load cuda]"))
    parameters = request.parameters()
    assert parameters["ntasks_per_node"] == 2
    assert "gpus_per_node" not in parameters
    assert parameters["setup"] == [*SETUP, "module load cuda"]


def test_a_job_on_slurm_must_say_how_many_devices_it_wants() -> None:
    given = ["hydra/launcher=slurm", "hydra.sweep.dir=x"]
    with pytest.raises(UserError, match=r"trainer\.devices=-1 is no such number"):
        Request.of(compose_whole(*given, "trainer=ddp"))
    with pytest.raises(UserError, match=r"no key hydra.launcher.partitions. Did you mean partition\?"):
        Request.of(compose_whole(*given, "+hydra.launcher.partitions=gpu"))


def test_devices_are_dealt_out_evenly() -> None:
    cores = list(range(10))
    two = shares(["0", "1", "2", "3"], cores, jobs=2)
    assert [share.gpus for share in two] == [("0", "1"), ("2", "3")]
    assert [share.cores for share in two] == [tuple(range(5)), tuple(range(5, 10))]
    # One GPU is left over, and so is a core.
    three = shares(["0", "1", "2", "3"], cores, jobs=3)
    assert [share.gpus for share in three] == [("0",), ("1",), ("2",)]
    assert [len(share.cores) for share in three] == [3, 3, 3]
    # More jobs than GPUs share them; more jobs than cores are not bound to any.
    many = shares(["a", "b"], [0, 1], jobs=3)
    assert [share.gpus for share in many] == [("a",), ("b",), ("a",)]
    assert [share.cores for share in many] == [(), (), ()]
    assert [share.gpus for share in shares([], cores, jobs=2)] == [(), ()]
    assert portion("abcdefg", 1, 3) == "cd"


def test_a_share_is_kept_to_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    bound, free = shares(["0", "1"], [0, 1, 2, 3], 2)[0], shares([], [], 1)[0]
    assert bound.environment == {"CUDA_VISIBLE_DEVICES": "0"}
    assert set(free.environment) == {"OMP_NUM_THREADS"}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert free.environment == {}


def test_gpus_that_are_hidden_are_not_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8a5f")
    assert visible_gpus() == ["3", "GPU-8a5f"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert visible_gpus() == []


def test_slurm_is_refused_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sr_experiments.launchers.slurm import Slurm

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no SLURM on this machine"):
        Slurm()


SHORT = [*TINY, "hydra/launcher=local", "trainer.val_check_interval=100000"]
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc shows which processes are left")


def start(sweep: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("train", "-m", *SHORT, f"hydra.sweep.dir={sweep}", *arguments),
        cwd=sweep.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_printing_to(folder: Path) -> list[int]:
    """Processes whose standard output is a file somewhere in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            target = (process / "fd" / "1").readlink()
        except OSError:  # it has ended, or belongs to somebody else
            continue
        if target.is_relative_to(folder):
            found.append(int(process.name))
    return found


def is_training(run_folder: Path) -> bool:
    file = run_folder / "metrics.csv"
    return file.exists() and file.read_text().count("\n") > 5


def wait_for(what: Callable[[], object], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)


@needs_proc
@pytest.mark.slow
def test_jobs_run_side_by_side_and_fail_alone(tmp_path: Path) -> None:
    """Of four jobs at two a time one is killed, one cannot work, and one has worker processes of its own."""
    sweep = tmp_path / "sweep"
    process = start(sweep, "trainer=default,ddp_cpu", "data.batch_size=4,3", "trainer.max_steps=200")
    wait_for(lambda: any(map(is_training, sweep.glob("*"))))
    one = next(folder for folder in sweep.glob("*") if is_training(folder))
    processes = processes_printing_to(one)
    assert processes
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    output = process.communicate(timeout=600)[0]
    assert process.returncode == 1, output
    assert "2 of 4 jobs did not finish: 2 failed" in output, output
    jobs = {
        (job["point"]["trainer"], job["point"]["data.batch_size"]): job
        for job in json.loads((sweep / "sweep.json").read_text())["jobs"]
    }
    states = {key: job["status"] for key, job in jobs.items()}
    killed = next(key for key, job in jobs.items() if job["folder"] == one.name)
    assert killed[0] == "default"
    assert "was killed" in jobs[killed]["error"]
    # Two processes cannot share a batch of three.
    assert states == {key: "failed" if key in (killed, ("ddp_cpu", "3")) else "finished" for key in states}
    assert len(states) == 4
    printed = {key: (sweep / job["folder"] / "output.log").read_text() for key, job in jobs.items()}
    assert all("Results: " in printed[key] for key, state in states.items() if state == "finished")
    assert "error: " in printed["ddp_cpu", "3"]


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_jobs_do_not_outlive_the_sweep(number: signal.Signals, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    process = start(sweep, "seed=1,2", "trainer.max_steps=100000")
    wait_for(lambda: sum(map(is_training, sweep.iterdir() if sweep.exists() else [])) == 2)
    process.send_signal(number)
    output = process.communicate(timeout=120)[0]
    expected = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
    assert process.returncode == expected[number], output
    wait_for(lambda: not processes_printing_to(sweep))
    states = [json.loads(file.read_text())["status"] for file in sweep.glob("*/results.json")]
    assert states == ["interrupted"] * 2
    if number != signal.SIGINT:  # who types Ctrl-C does not want to wait
        assert len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2
