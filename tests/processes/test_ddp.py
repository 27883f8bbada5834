"""Two processes train and measure what one does, also where they have different numbers of images to evaluate."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sr_experiments.data.images import write_png
from tests.harness import TINY, environment, run, train

ENDS = ["trainer.max_steps=4", "trainer.val_check_interval=2"]
# A game without batch norm, which would see half a batch in each process.
GAN = [
    "loss=srgan_mse",
    "loss.adversarial.weight=0.1",
    "loss.adversarial.discriminator.channels=4",
    "loss.adversarial.discriminator.hidden=4",
    "loss.adversarial.discriminator.norm=none",
]


def make_set(root: Path, name: str, count: int) -> None:
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 48, 3), np.uint8)
        (root / name).mkdir(parents=True, exist_ok=True)
        write_png(root / name / f"{index}.png", pixels)


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").open()))


def results_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["small", "srresnet"])
def test_two_processes_train_as_one(model: str, tmp_path: Path) -> None:
    make_set(tmp_path / "sets", "Three", 3)
    common = [f"model={model}", "model.blocks=1", "model.features=4", f"data.root={tmp_path / 'sets'}"]
    common += ["data.sets=[Three]", *ENDS]
    for name, extra in (("one", []), ("two", ["trainer=ddp_cpu"])):
        done = train(tmp_path / name, *common, *extra)
        assert done.returncode == 0, done.stderr
    rows_one, rows_two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    results_one, results_two = results_of(tmp_path / "one"), results_of(tmp_path / "two")
    assert set(results_two["test"]["Three"]["images"]) == {"0", "1", "2"}
    first = [float(rows[0]["train/loss"]) for rows in (rows_one, rows_two)]
    # Batch norm sees half a batch in each process, so its losses are only alike.
    assert first[1] == pytest.approx(first[0], rel=1e-5 if model == "small" else 0.2)
    if model == "small":
        losses = [[float(row["train/loss"]) for row in rows] for rows in (rows_one, rows_two)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        for image, row in results_one["test"]["Three"]["images"].items():
            assert results_two["test"]["Three"]["images"][image]["psnr"] == pytest.approx(row["psnr"], abs=1e-3)


@pytest.mark.slow
def test_the_same_weights_score_the_same_whatever_the_number_of_images(tmp_path: Path) -> None:
    make_set(tmp_path / "sets", "One", 1)  # fewer than processes
    make_set(tmp_path / "sets", "Five", 5)
    done = train(tmp_path / "run", "trainer.max_steps=1", "data.sets=[]")
    assert done.returncode == 0, done.stderr
    common = [f"checkpoint={tmp_path / 'run'}", f"data.root={tmp_path / 'sets'}", "data.sets=[One,Five]"]
    common += ["trainer.accelerator=cpu", "data.num_workers=0", "perceptual=off"]
    for name, devices in (("one", 1), ("two", 2)):
        folder = f"hydra.run.dir={tmp_path / name}"
        done = run("eval", *common, folder, f"trainer.devices={devices}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Results:") == 1
    one, two = (results_of(tmp_path / name)["test"] for name in ("one", "two"))
    assert [len(one[name]["images"]) for name in ("One", "Five")] == [1, 5]
    for name in ("One", "Five"):
        assert two[name]["images"].keys() == one[name]["images"].keys()
        for image, row in one[name]["images"].items():
            assert two[name]["images"][image] == pytest.approx(row, abs=1e-6)
        for metric in ("psnr", "ssim"):
            assert two[name][metric] == pytest.approx(one[name][metric], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "learning_rate", "decisions"), [("ragan", 1.0, {0, 1}), ("vanilla", 0.1, {1})])
def test_the_game_of_two_processes_is_that_of_one(
    objective: str, learning_rate: float, decisions: set[int], tmp_path: Path
) -> None:
    """Each with EnhanceNet's rule, which looks at the accuracies over all processes."""
    game = [*GAN, f"objective@loss.adversarial.objective={objective}", "loss.adversarial.balance=0.6", "data.sets=[]"]
    # Adam would blow differences of rounding up to a whole learning rate.
    game += ["training.recipe.discriminator_optimizer.eps=1e-3"]
    game += [f"training.recipe.discriminator_optimizer.learning_rate={learning_rate}", "trainer.max_steps=6"]
    for name, extra in (("one", []), ("two", ["trainer=ddp_cpu"])):
        done = train(tmp_path / name, *game, *extra)
        assert done.returncode == 0, done.stderr
    rows_one, rows_two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert {float(row["train/d_updated"]) for row in rows_one} == decisions
    for one, two in zip(rows_one, rows_two, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            if one[name]:
                assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-3, abs=1e-6), (one["step"], name)


@pytest.mark.slow
def test_what_is_not_finite_in_one_process_is_skipped_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))  # where the term is found
    term = "+loss.terms.spoilt={weight:1,term:{_target_:tests.spoilt.NotFiniteOnce}}"
    done = train(tmp_path / "run", *ENDS, "trainer=ddp_cpu", "on_nonfinite=skip", term)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "run")
    assert [row["train/skipped_updates"] for row in rows] == ["0.0", "0.0", "1.0", "1.0"]
    assert [math.isfinite(float(row["train/loss"])) for row in rows] == [True, True, False, True]


@pytest.mark.slow
def test_torchrun_starts_the_processes_where_it_is_asked_to(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "sr_experiments.commands.train", *TINY, *ENDS, "trainer=ddp_cpu"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    done = subprocess.run([*command, f"hydra.run.dir={tmp_path / 'run'}"], timeout=240, **options)
    assert done.returncode == 0, done.stderr
    assert results_of(tmp_path / "run")["status"] == "finished"
    assert len(rows_of(tmp_path / "run")) == 4
    done = subprocess.run(command, timeout=240, **options)
    assert done.returncode != 0
    assert "give hydra.run.dir=FOLDER" in done.stderr


@pytest.mark.slow
def test_modules_in_the_current_folder_are_not_run(tmp_path: Path) -> None:
    """A data folder may hold a file of any name; the command does not import it, and its workers do not either."""
    for name in ("random", "secrets", "torch"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()")
    command = [str(Path(sys.executable).with_name("sr-train")), *TINY, "trainer=ddp_cpu", "trainer.max_steps=1"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    done = subprocess.run([*command, "data.sets=[]", f"hydra.run.dir={tmp_path / 'run'}"], timeout=240, **options)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()
