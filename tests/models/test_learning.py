"""Every network learns: short trainings on the sample photographs, by the parts that `sr-train` runs.

The default suite trains one network a framework; `pytest -m nightly` trains them all, and some until they are better
than bicubic enlargement.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import Run, build
from sr_experiments.data.images import read_image, write_png
from sr_experiments.data.sample import training_photographs
from tests.models.test_networks import SMALL, options

STEPS, COUNTED = 40, 8

COMMON = [
    "scale=2",
    "data.crop_size=32",
    "data.batch_size=4",
    "data.num_workers=0",
    "optimizer.learning_rate=1e-3",
    "scheduler=constant",
    "logger=csv",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "callbacks.progress.every_seconds=1000",
]

# What some networks take beside LR, and what else they need to be small.
BESIDE = {
    "srntt": [
        "model.blocks=[1,1,1]",
        "feature_network.weights=random",
        "feature_network.normalise=none",
        "data=reference_sample",
        "data.references.size=48",
        "loss=l1",
    ],
}

# One of each framework for every day: pre, post, progressive, iterative.
REPRESENTATIVE = ["srcnn", "carn", "lapsrn", "dbpn"]

# Light networks, in a size and a number of steps that make them better than bicubic enlargement; the others take
# thousands of steps until they have learned to enlarge at all.
ON_LUMA = ["model.channels=1", "loss=mse"]
LIGHT = {
    "small": (["model.features=16", "model.blocks=4"], 300),
    "vdsr": (["model.features=16", "model.layers=6"], 300),
    "enhancenet": (["model.features=16", "model.blocks=2"], 300),
    "espcn": (ON_LUMA, 1200),
    "srcnn": ([*ON_LUMA, "model.features=[32,16]"], 2500),
    "fsrcnn": ([*ON_LUMA, "training.recipe.player.last_layer_rate=0.1"], 3000),
    "lapsrn": ([*ON_LUMA, "model.features=16", "model.depth=4"], 1500),
    "carn_m": ([*ON_LUMA, "model.features=16", "model.scales=[2]"], 1500),
}


def shrunk(config: DictConfig) -> DictConfig:
    """The config with a network of few, thin layers; lists keep being lists."""
    for key, value in {**SMALL, "content_blocks": 1, "scales": [config.scale]}.items():
        old = config.model.get(key)
        if old is not None and OmegaConf.is_list(old) == isinstance(value, list):
            config.model[key] = value
    if OmegaConf.select(config, "block.context.reduction") is not None:
        config.block.context.reduction = 2
    if "hidden" in config.upsampler:
        config.upsampler.hidden = 8
    return config


def photographs_with_maps(folder: Path) -> list[str]:
    """Two photographs and what they show: of eight classes, the one of a pixel's brightness."""
    for photo in training_photographs()[:2]:
        pixels = read_image(photo.hr)
        write_png(folder / "hr" / f"{photo.name}.png", pixels)
        write_png(folder / "maps" / f"{photo.name}.png", pixels[..., 1] // 32)
    return ["data=folder", f"data.train.hr={folder / 'hr'}", f"data.train.condition={folder / 'maps'}"]


def trained(folder: Path, steps: int, config: DictConfig) -> tuple[Run, list[float]]:
    """A finished training and its losses, one a step."""
    config.paths.run_folder = str(folder)
    config.trainer.max_steps = config.trainer.val_check_interval = steps
    run = build(config)
    run.fit(None)
    run.close()
    with (folder / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert len(losses) == steps
    return run, losses


def check_that_the_loss_falls(name: str, folder: Path) -> None:
    beside = photographs_with_maps(folder) if name == "sft_gan" else BESIDE.get(name, [])
    config = compose_config("train", [f"model={name}", *COMMON, *beside, "data.sets=[]"])
    _, losses = trained(folder, STEPS, shrunk(config))
    first, last = mean(losses[:COUNTED]), mean(losses[-COUNTED:])
    assert last < 0.9 * first, losses


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_loss_falls(name: str, tmp_path: Path) -> None:
    check_that_the_loss_falls(name, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in options("model") if name != "spandrel"])  # it is its weights'
def test_loss_of_every_network_falls(name: str, tmp_path: Path) -> None:
    check_that_the_loss_falls(name, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", LIGHT)
def test_light_network_becomes_better_than_bicubic(name: str, tmp_path: Path) -> None:
    overrides, steps = LIGHT[name]
    config = compose_config("train", [f"model={name}", *COMMON, "scheduler=cosine", *overrides])
    config.optimizer.learning_rate = 2e-3
    run, losses = trained(tmp_path, steps, config)
    assert mean(losses[-COUNTED:]) < mean(losses[:COUNTED])
    scores: dict[str, Any] = run.test(tmp_path)["sample"]
    assert scores["psnr"] > scores["bicubic"]["psnr"]
