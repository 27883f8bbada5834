"""A score that is not of this project is ranked, shown and sorted by the direction that it says of itself."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch

from sr_experiments.app.compose import compose_config
from sr_experiments.errors import UserError
from sr_experiments.metrics.directions import higher_is_better, own_directions
from sr_experiments.sweeps.settings import read_settings
from tests.harness import run, train

OWN = ["+scores.parts.darkness._target_=tests.own_score.Darkness", "scores.test=[darkness]"]


@pytest.fixture(autouse=True)
def _parts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def test_one_image_an_evaluation_and_an_own_score(tmp_path: Path) -> None:
    """The whole number 1 is one image, not all of them; the best checkpoint is the one with the lowest score."""
    limits = ["trainer.limit_test_batches=1", "trainer.limit_val_batches=1", "data=sample"]
    limits += ["trainer.max_steps=3", "trainer.val_check_interval=1", "scores.validation=[darkness]"]
    best = ["callbacks.best_and_worst.metric=darkness", "callbacks.checkpoints.monitor=val/darkness"]
    done = train(tmp_path / "run", *limits, *OWN, *best)
    assert done.returncode == 0, done.stderr
    assert "darkness ↓" in " ".join(done.stdout.split())
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (of,) = results["test"].values()
    assert len(of["images"]) == 1
    assert of["coverage"] == {"scored": 1, "of": 2}
    assert "only 1 of 2 images" in " ".join(done.stdout.split())
    rows = csv.DictReader((tmp_path / "run" / "metrics.csv").open())
    logged = [float(row["val/darkness"]) for row in rows if row["val/darkness"]]
    assert len(set(logged)) == 3
    callbacks = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    (kept,) = [state["best_score"] for name, state in callbacks.items() if name.startswith("Checkpoints")]
    assert kept == pytest.approx(min(logged))
    assert own_directions(results) == {"darkness": False}
    page = tmp_path / "page.html"
    assert run("report", str(tmp_path / "run"), "--output", str(page), cwd=tmp_path).returncode == 0
    text = page.read_text()
    assert "only 1 of 2 images of" in text
    assert '"darkness":{"better":-1' in text.replace(" ", "")


def test_a_score_that_is_not_measured_is_refused_with_those_that_are(tmp_path: Path) -> None:
    done = train(tmp_path / "run", "trainer.max_steps=1", "data=sample", "callbacks.best_and_worst.metric=prettiness")
    assert done.returncode == 2
    assert "metric=prettiness is not measured: choose one of" in done.stderr


def test_a_best_checkpoint_needs_a_known_direction(tmp_path: Path) -> None:
    done = train(tmp_path / "run", "trainer.max_steps=1", "data=sample", "callbacks.checkpoints.monitor=val/mood")
    assert done.returncode == 2
    assert "a higher val/mood is better: give callbacks.checkpoints.mode=max" in done.stderr


def test_a_sweep_ranks_in_the_direction_of_the_score() -> None:
    def directions(*more: str) -> tuple[str, ...]:
        return read_settings(compose_config("train", [*OWN, *more])).directions

    assert directions("sweep.metric=psnr") == ("max",)
    assert directions("sweep.metric=[lpips,ssim,darkness,seconds]") == ("min", "max", "min", "min")
    assert directions("sweep.metric=lpips", "sweep.direction=max") == ("max",)
    with pytest.raises(UserError, match=r"sweep\.metric=pnsr is no known score: say with sweep\.direction"):
        directions("sweep.metric=pnsr")


def test_what_a_run_says_of_scores_is_not_trusted() -> None:
    assert own_directions({"higher_is_better": {"a": True, "b": "yes", "psnr": False}}) == {"a": True, "psnr": False}
    assert own_directions({"higher_is_better": [1]}) == {}
    assert higher_is_better("val/Set5/psnr", {"psnr": False}) is True
    assert higher_is_better("bicubic_a", {"a": False}) is False
