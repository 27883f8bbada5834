"""Sweeps on a real SLURM: `bash tests/cluster/run.sh` starts one on this machine and runs these tests."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.harness import TINY, command, environment, train

STEPS = 500
JOB = [*TINY, "trainer=ddp_cpu", f"trainer.max_steps={STEPS}", "trainer.val_check_interval=100"]
ON_SLURM = ["hydra/launcher=slurm", "hydra.launcher.timeout_min=30"]


def why_not() -> str:
    """Why there is no SLURM to test with; empty where there is."""
    if shutil.which("sinfo") is None:
        return "SLURM is not installed: bash tests/cluster/run.sh"
    found = subprocess.run(["sinfo", "--noheader", "--format=%P %T"], capture_output=True, text=True, timeout=120)
    if found.returncode != 0:
        return f"SLURM does not answer (start it with tests/cluster/slurm.sh): {found.stderr.strip()}"
    if "main* " not in found.stdout or "urgent " not in found.stdout:
        return "This is not the cluster of tests/cluster/slurm.sh: jobs of others are left in peace"
    return ""


REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


def slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A sweep of two jobs, which go on in the background."""
    words = command("train", "-m", *JOB, *ON_SLURM, f"hydra.sweep.dir={folder}", *arguments)
    return subprocess.Popen(
        words, cwd=folder.parent, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 400) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}; the queue: {slurm('squeue')}")


def submitted(folder: Path) -> bool:
    return (folder / "sweep.json").exists() and bool(list((folder / "slurm").glob("*_submission.sh")))


def rows(run: Path) -> list[dict[str, str]]:
    file = run / "metrics.csv"
    return list(csv.DictReader(file.open())) if file.exists() else []


def jobs(folder: Path) -> dict[int, tuple[Path, str]]:
    """The run folder and SLURM's identifier of each seed."""
    record = json.loads((folder / "sweep.json").read_text())
    seeds = {int(job["point"]["seed"]): folder / job["folder"] for job in record["jobs"]}
    (array,) = {file.name.partition("_")[0] for file in (folder / "slurm").glob("*_submission.sh")}
    return {seed: (run, f"{array}_{index}") for index, (seed, run) in enumerate(sorted(seeds.items()))}


def is_training(run: Path) -> bool:
    """Whether a job is in the middle of its training."""
    return 20 < len(rows(run)) < STEPS - 100


def checkpoint(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def restarts(identifier: str) -> int:
    shown = slurm("scontrol", "--oneliner", "show", "job", identifier)
    return int(dict(word.split("=", 1) for word in shown.split() if "=" in word)["Restarts"])


def test_requeued_jobs_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = start(folder, "seed=1,2")
    wait_for(lambda: submitted(folder), sweep)
    (first, first_id), (second, second_id) = jobs(folder).values()
    # One is put back by hand, the other is told that its time is nearly over.
    wait_for(lambda: is_training(first), sweep)
    slurm("scontrol", "requeue", first_id)
    wait_for(lambda: is_training(second), sweep)
    slurm("scancel", "--signal=USR2", second_id)
    for run, identifier in jobs(folder).values():
        wait_for(lambda identifier=identifier: restarts(identifier) == 1, sweep)
        wait_for((run / "checkpoints" / "last.ckpt").exists, sweep)
    saved = {run: checkpoint(run)["global_step"] for run in (first, second)}
    assert all(20 < step < STEPS for step in saved.values())
    # A job that began anew would drop the rows that it has logged.
    fewest = dict.fromkeys(saved, STEPS)
    while sweep.poll() is None:
        fewest = {run: min(count, len(rows(run))) for run, count in fewest.items()}
        time.sleep(0.2)
    assert sweep.returncode == 0, sweep.communicate()[0]
    assert all(fewest[run] >= step for run, step in saved.items())
    for seed, (run, identifier) in jobs(folder).items():
        assert restarts(identifier) == 1
        alone = tmp_path / f"alone_{seed}"
        done = train(alone, *JOB, f"seed={seed}")
        assert done.returncode == 0, done.stderr
        assert rows(run) == rows(alone)
        expected = checkpoint(alone)["state_dict"]
        assert all(torch.equal(value, expected[name]) for name, value in checkpoint(run)["state_dict"].items())
        found, wanted = (json.loads((of / "results.json").read_text())["test"] for of in (run, alone))
        assert found == wanted


def test_a_more_urgent_job_goes_first_and_a_cancelled_one_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = start(folder, "seed=1,2")
    wait_for(lambda: submitted(folder), sweep)
    (first, first_id), (second, second_id) = jobs(folder).values()
    wait_for(lambda: len(rows(first)) > 20 and len(rows(second)) > 20, sweep)
    slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    wait_for(lambda: (second / "results.json").exists(), sweep)
    assert json.loads((second / "results.json").read_text())["status"] == "interrupted"
    slurm("scancel", second_id)
    output = sweep.communicate(timeout=600)[0]
    assert sweep.returncode == 1, output
    assert "1 of 2 jobs did not finish" in output
    assert restarts(first_id) == 1
    record = json.loads((folder / "sweep.json").read_text())
    assert {Path(job["folder"]).name: job["status"] for job in record["jobs"]} == {
        first.name: "finished",
        second.name: "interrupted",
    }
    assert [int(row["step"]) for row in rows(first)] == list(range(1, STEPS + 1))


def test_a_process_that_is_killed_ends_its_job_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = start(folder, "seed=1,2")
    wait_for(lambda: submitted(folder), sweep)
    (first, first_id), (second, _) = jobs(folder).values()
    wait_for(lambda: is_training(first), sweep)
    raw = slurm("squeue", "--noheader", "--array", "--format=%A", f"--jobs={first_id}").strip()
    processes = [line.split() for line in slurm("scontrol", "listpids", raw).splitlines()[1:]]
    (last,) = [int(pid) for pid, _, _, _, rank in processes if rank == "1"]
    os.kill(last, signal.SIGKILL)
    output = sweep.communicate(timeout=600)[0]
    assert sweep.returncode == 1, output
    assert "1 of 2 jobs did not finish: 1 failed" in output
    states = [json.loads((run / "results.json").read_text())["status"] for run in (first, second)]
    assert states == ["failed", "finished"]


def test_what_slurm_refuses_is_said(tmp_path: Path) -> None:
    sweep = start(tmp_path / "sweep", "seed=1,2", "hydra.launcher.partition=no_such_partition")
    output = sweep.communicate(timeout=300)[0]
    assert sweep.returncode == 2, output
    assert "SLURM refused the jobs" in output
    assert "invalid partition specified: no_such_partition" in output
