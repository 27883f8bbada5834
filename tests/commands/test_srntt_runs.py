"""SRNTT through the commands: real processes on parts of the stereo pair, from training to an enlarged photograph."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from sr_experiments.data.images import image_size, read_image, write_png
from sr_experiments.data.stereo import stereo_training
from tests.harness import run, train

TINY = [
    "model=srntt",
    "model.features=4",
    "model.content_blocks=1",
    "model.blocks=[1,1,1]",
    "model.norm=none",
    "feature_network.weights=random",
    "feature_network.normalise=none",
    "data=cufed",
    "data.references.size=48",
    "data.crop_size=32",
    "data.batch_size=2",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
]
GAME = ["loss=srntt", "loss.adversarial.discriminator.channels=2", "loss.adversarial.discriminator.hidden=4"]


def small_set(folder: Path) -> str:
    return f"data.sets=[{{_target_:sr_experiments.data.cufed5_sets,root:'{folder / 'sets'}',levels:[1]}}]"


@pytest.fixture
def small_pairs(tmp_path: Path) -> list[str]:
    """Pairs to train on and a test set in the layout of CUFED5, from small parts of the stereo pair."""
    (training,) = stereo_training(tmp_path / "stereo")
    hr, ref = read_image(training.hr), read_image(training.refs[0])
    for name, image in (("input", hr), ("ref", ref)):
        for row in (0, 96, 192):
            write_png(tmp_path / name / f"{row}.png", image[row : row + 96, 100:220])
    for number, column in enumerate((240, 310)):
        write_png(tmp_path / "sets" / f"00{number}_0.png", hr[200:264, column : column + 64])
        write_png(tmp_path / "sets" / f"00{number}_1.png", ref[190:280, column - 10 : column + 80])
    training = [f"data.train.input={tmp_path / 'input'}", f"data.train.ref={tmp_path / 'ref'}"]
    return [*TINY, *training, small_set(tmp_path)]


@pytest.mark.slow
def test_from_training_to_an_enlarged_photograph(small_pairs: list[str], tmp_path: Path) -> None:
    import numpy as np

    done = train(tmp_path / "run", *small_pairs, "loss=srntt_l2", "ema_decay=0.9")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    scores = results["test"]["CUFED5_L1"]
    assert results["random_features"] is True
    assert set(scores["images"]) == {"000", "001"}
    assert all(0 < row["similarity"] <= 1 for row in scores["images"].values())

    # The same weights, scored again with the same references.
    pair = [
        "data=cufed5",
        f"data.root={tmp_path / 'sets'}",
        "data.sets.0.levels=[1]",
        "logger=none",
        "perceptual=off",
        f"hydra.run.dir={tmp_path / 'scored'}",
    ]
    done = run("eval", f"checkpoint={tmp_path / 'run'}", *pair, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "scored" / "results.json").read_text())["test"]["CUFED5_L1"]
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
def test_two_processes_agree_with_one(loss: list[str], small_pairs: list[str], tmp_path: Path) -> None:
    found = {}
    crops = [] if loss == ["loss=srntt_l2"] else ["data.crop_size=64", "data.references.size=64"]
    for name, extra in (
        ("one", []),
        ("two", ["trainer=ddp_cpu", "trainer.max_steps=2", "trainer.val_check_interval=2"]),
    ):
        done = train(tmp_path / name, *small_pairs, *loss, *crops, *extra, "trainer.log_every_n_steps=1", timeout=400)
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader((tmp_path / name / "metrics.csv").open()))
        results = json.loads((tmp_path / name / "results.json").read_text())
        found[name] = ([float(row["train/loss"]) for row in rows if row["train/loss"]], results["test"])
    assert found["two"][0] == pytest.approx(found["one"][0], rel=1e-4)
    (one, two) = (found[name][1]["CUFED5_L1"]["images"] for name in ("one", "two"))
    assert set(two) == {"000", "001"}
    for image, row in one.items():
        assert two[image]["psnr"] == pytest.approx(row["psnr"], abs=1e-3)
        assert two[image]["similarity"] == pytest.approx(row["similarity"], abs=1e-6)
