"""A user's package, with a network, a loss, a degradation, a score and a recipe, works with every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sr_experiments.metrics.directions import own_directions
from tests.harness import environment, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_parts"
OWN = ["model=one_conv", "loss=edges", "degradation=dots", "scores=contrast", "training=twice"]
TINY = ["model.features=4", "data.crop_size=16", "data.batch_size=4", "data.num_workers=0", "data=sample"]
TINY += ["logger=csv", "trainer.accelerator=cpu", "perceptual=off", "trainer.limit_test_batches=1"]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("own_parts")
    shutil.copytree(EXAMPLE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "source")], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(scope="module")
def command(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs a command where the package is installed."""
    variables = {**environment(), "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    folder = tmp_path_factory.mktemp("runs")

    def called(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(name, *arguments, cwd=folder, variables=variables)

    return called


@pytest.fixture(scope="module")
def trained(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all own parts together."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = command("train", *OWN, *TINY, "trainer.max_steps=2", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_of_own_parts(trained: Path) -> None:
    results = json.loads((trained / "results.json").read_text())
    (of,) = results["test"].values()
    assert of["contrast_error"] > 0
    assert own_directions(results) == {"contrast_error": False}
    assert results["steps"] == 2


def test_they_are_listed_and_take_overrides(command: Command) -> None:
    assert "one_conv" in command("train", "--help").stdout
    done = command("train", *OWN, "model.featurs=4")
    assert done.returncode == 2
    assert "There is no key model.featurs. Did you mean model.features?" in done.stderr
    assert "Did you mean one_conv?" in command("train", "model=one_con").stderr


def test_a_sweep_over_own_parts(command: Command, tmp_path: Path) -> None:
    sweep = [*OWN[1:], *TINY, "trainer.max_steps=1", f"hydra.sweep.dir={tmp_path}", "sweep.metric=contrast_error"]
    done = command("train", "-m", "model=one_conv,small", *sweep)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "sweep.json").read_text())
    assert [job["status"] for job in record["jobs"]] == ["finished", "finished"]
    assert record["direction"] == ["min"]
    ranked = [row["scores"]["contrast_error"]["mean"] for row in record["ranking"]]
    assert ranked == sorted(ranked)


def test_a_checkpoint_of_own_parts_is_scored_used_and_reported(command: Command, trained: Path, tmp_path: Path) -> None:
    scored = command("eval", f"checkpoint={trained}", "data=sample", *TINY[3:4], f"hydra.run.dir={tmp_path / 'eval'}",
                     "trainer.accelerator=cpu", "perceptual=off", "trainer.limit_test_batches=1")  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    image = next((trained / "images").rglob("*.png"))
    enlarged = command("upscale", "--checkpoint", str(trained), "-o", str(tmp_path / "large"), str(image))
    assert enlarged.returncode == 0, enlarged.stderr
    assert list((tmp_path / "large").rglob("*.png"))
    reported = command("report", str(trained), "--output", str(tmp_path / "page.html"))
    assert reported.returncode == 0, reported.stderr
    assert "contrast_error" in (tmp_path / "page.html").read_text()


def test_without_the_package_a_checkpoint_runs_nothing(trained: Path, tmp_path: Path) -> None:
    done = run(
        "upscale", "--checkpoint", str(trained), "-o", str(tmp_path), str(next(trained.rglob("*.png"))), cwd=tmp_path
    )
    assert done.returncode == 2
    assert "'own_parts.network.OneConv'" in done.stderr
    assert "install the package" in done.stderr
