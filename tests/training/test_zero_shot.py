"""ZSSR learns from the image that it enlarges, and from nothing else."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from sr_experiments.data.images import write_png
from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, WeightedSum
from sr_experiments.models.vdsr import VDSR
from sr_experiments.training.player import Player
from sr_experiments.training.recipes.zero_shot import ZeroShot
from sr_experiments.upsamplers import Interpolation
from tests.harness import run


def recipe(steps: int, crop_size: int = 24, **options: float) -> ZeroShot:
    torch.manual_seed(0)
    player = Player(VDSR(2, Interpolation, features=8, layers=3), partial(torch.optim.Adam, lr=2e-3), **options)  # type: ignore[arg-type]
    return ZeroShot(player, WeightedSum({"l1": {"weight": 1.0, "term": L1()}}), Bicubic(2), steps, crop_size)


def stripes(height: int = 64, width: int = 80) -> torch.Tensor:
    """An image whose detail repeats at every scale: sharp edges."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows // 16 + columns // 12) % 2).float().expand(1, 3, -1, -1).clone()


def batch_of(hr: torch.Tensor, key: int = 3) -> dict[str, torch.Tensor]:
    return {"hr": hr, "lr": Bicubic(2)(hr), "key": torch.tensor([key])}


def test_pairs_are_crops_of_lr_and_what_the_degradation_leaves_of_them() -> None:
    zero_shot, lr = recipe(1), torch.rand(1, 3, 41, 53)
    for step in range(20):
        pair = zero_shot.pair(lr, torch.tensor([5]), step)
        assert pair["hr"].shape == (1, 3, 24, 24)
        assert torch.equal(pair["lr"], Bicubic(2)(pair["hr"]))
        assert torch.equal(pair["hr"], zero_shot.pair(lr, torch.tensor([5]), step)["hr"])
    assert zero_shot.pair(lr[..., :15, :19], torch.tensor([5]), 0)["hr"].numel() == 3 * 14 * 18


def test_it_learns_and_begins_anew_for_every_image() -> None:
    hr = stripes()
    batch = batch_of(hr)
    error = {steps: (recipe(steps).enlarge(batch) - hr).abs().mean() for steps in (1, 80)}
    assert error[80] < 0.9 * error[1]
    zero_shot = recipe(10, ema_decay=0.9)
    first = zero_shot.enlarge(batch)
    other = zero_shot.enlarge(batch_of(torch.rand(1, 3, 64, 80)))
    assert not torch.equal(first, other)
    assert torch.equal(zero_shot.enlarge(batch), first)
    assert torch.equal(zero_shot.enlarge({**batch, "hr": torch.zeros_like(hr)}), first)  # HR is never looked at


def test_it_begins_with_the_weights_that_it_was_given() -> None:
    zero_shot, other = recipe(1), VDSR(2, Interpolation, features=8, layers=3)
    before = zero_shot.enlarge(batch_of(stripes()))
    zero_shot = recipe(1)
    zero_shot.player.start_from(other.state_dict(), "other")
    assert not torch.allclose(zero_shot.enlarge(batch_of(stripes())), before)


def test_it_runs_within_inference_mode() -> None:
    with torch.inference_mode():
        batch = batch_of(stripes())
        made = recipe(3).enlarge(batch)
    assert torch.equal(made, recipe(3).enlarge(batch_of(stripes())))


def test_a_run_trains_in_its_test(tmp_path: Path) -> None:
    pixels = (stripes()[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    (tmp_path / "sets" / "One").mkdir(parents=True)
    write_png(tmp_path / "sets" / "One" / "stripes.png", pixels)
    common = ["experiment=zssr", "scale=2", "model.features=8", "model.layers=3", f"data.root={tmp_path / 'sets'}"]
    common += ["data.sets=[One]", "logger=csv", "trainer.accelerator=cpu", "perceptual=off", "data.num_workers=0"]
    scores = {}
    for steps in (1, 150):
        folder = tmp_path / str(steps)
        done = run("train", *common, f"trainer.max_steps={steps}", f"hydra.run.dir={folder}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        scores[steps] = json.loads((folder / "results.json").read_text())["test"]["One"]["psnr"]
        assert (folder / "images" / "One" / "stripes.png").is_file()
    assert scores[150] > scores[1] + 0.3


def test_bad_input() -> None:
    with pytest.raises(UserError, match=r"training\.recipe\.crop_size=1 must be at least scale=2"):
        recipe(1, crop_size=1)
