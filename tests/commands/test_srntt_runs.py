"""SRNTT through the commands: real processes on the stereo pair, from training to an enlarged photograph."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from sr_experiments.data.images import image_size, write_png
from tests.harness import run, train

TINY = [
    "model=srntt",
    "model.features=4",
    "model.content_blocks=1",
    "model.blocks=[1,1,1]",
    "model.norm=none",
    "feature_network.weights=random",
    "feature_network.normalise=none",
    "data=reference_sample",
    "data.references.size=48",
    "data.crop_size=32",
    "data.batch_size=2",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
]
GAME = ["loss=srntt", "loss.adversarial.discriminator.channels=2", "loss.adversarial.discriminator.hidden=4"]


@pytest.mark.slow
def test_from_training_to_an_enlarged_photograph(tmp_path: Path) -> None:
    import numpy as np

    done = train(tmp_path / "run", *TINY, "loss=srntt_l2", "ema_decay=0.9")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    scores = results["test"]["reference_sample"]
    assert results["random_features"] is True
    assert set(scores["images"]) == {"shelf", "wheel"}
    assert all(0 < row["similarity"] <= 1 for row in scores["images"].values())

    # The same weights, scored again with the same references.
    pair = ["data=reference_sample", "logger=none", "perceptual=off", f"hydra.run.dir={tmp_path / 'scored'}"]
    done = run("eval", f"checkpoint={tmp_path / 'run'}", *pair, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "scored" / "results.json").read_text())["test"]["reference_sample"]
    assert again["psnr"] == pytest.approx(scores["psnr"], abs=1e-6)
    assert again["similarity"] == pytest.approx(scores["similarity"], abs=1e-6)

    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), np.uint8)
    for name, image in zip(("photo", "other"), pixels, strict=True):
        write_png(tmp_path / f"{name}.png", image)
    given = ["photo.png", "--ref", "other.png", "--checkpoint", "run", "-o", "large", "--device", "cpu"]
    done = run("upscale", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert image_size(tmp_path / "large" / "photo.png") == (256, 192)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [["loss=srntt_l2"], [*GAME, "loss.adversarial.pretrain_steps=1"]])
def test_two_processes_agree_with_one(loss: list[str], tmp_path: Path) -> None:
    found = {}
    crops = [] if loss == ["loss=srntt_l2"] else ["data.crop_size=64", "data.references.size=64"]
    for name, extra in (
        ("one", []),
        ("two", ["trainer=ddp_cpu", "trainer.max_steps=2", "trainer.val_check_interval=2"]),
    ):
        done = train(tmp_path / name, *TINY, *loss, *crops, *extra, "trainer.log_every_n_steps=1", timeout=400)
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader((tmp_path / name / "metrics.csv").open()))
        results = json.loads((tmp_path / name / "results.json").read_text())
        found[name] = ([float(row["train/loss"]) for row in rows if row["train/loss"]], results["test"])
    assert found["two"][0] == pytest.approx(found["one"][0], rel=1e-4)
    (one, two) = (found[name][1]["reference_sample"]["images"] for name in ("one", "two"))
    assert set(two) == {"shelf", "wheel"}
    for image, row in one.items():
        assert two[image]["psnr"] == pytest.approx(row["psnr"], abs=1e-3)
        assert two[image]["similarity"] == pytest.approx(row["similarity"], abs=1e-6)
