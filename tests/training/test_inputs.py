"""What belongs together is found out before training; what was drawn for a sample reaches the network and the loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build
from sr_experiments.data.images import write_png
from sr_experiments.degradations import Bicubic, BlurNoise, RealEsrgan
from sr_experiments.degradations.real_esrgan import sharpened
from sr_experiments.errors import UserError, find_user_error
from sr_experiments.losses import L1, WeightedSum
from sr_experiments.models.sft_gan import SFTGAN
from sr_experiments.training.checks import check_data
from sr_experiments.training.play import Play
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.training.stages.pool import Pool
from sr_experiments.upsamplers import SubPixel
from tests.training.parts import stages, supervised

Compose = Callable[..., DictConfig]


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    def composed(*overrides: str) -> DictConfig:
        given = [f"paths.run_folder={tmp_path}", f"paths.cache_dir={tmp_path / 'cache'}", "logger=none", "data.sets=[]"]
        return compose_config("train", ["data.crop_size=32", *given, *overrides])

    return composed


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A set whose image has an LR image beside it, and one without."""
    random = np.random.default_rng(0)
    for name, side in (("Both/HR/a", 64), ("Both/LR/x4/a", 16), ("Alone/b", 64)):
        write_png(tmp_path / f"{name}.png", random.integers(0, 256, (side, side, 3), np.uint8))
    return tmp_path


def refusal(config: DictConfig) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Hydra wraps what parts raise
        build(config)
    error = find_user_error(caught.value)
    assert isinstance(error, UserError), caught.value
    return str(error)


SRMD = ("model=srmd", "model.features=4", "model.layers=3")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((*SRMD, "degradation=bicubic"), "SRMD takes a degradation_map beside LR, which the degradation Bicubic"),
        ((*SRMD, "degradation.components=9"), r"that given has the shape (1, 10)"),
        (("model=sft_gan",), "SFTGAN takes a condition, a map of classes, beside LR, and none belongs to"),
        (("degradation.scale=2",), "shrinks by 2 and the network enlarges by scale=4"),
        (("degradation=srmd", "data.crop_size=12"), "kernel of 15x15 pixels is larger than the crop of 12x12"),
        (("degradation=real_esrgan", "data.crop_size=20"), "kernel of 21x21 pixels is larger than the crop of 20x20"),
        (("degradation=bsrgan", "data.crop_size=24"), "kernel of 25x25 pixels is larger than the crop of 24x24"),
        (("degradation=bd", "degradation.size=40"), "kernel of 40x40 pixels is larger than the crop of 32x32"),
        (
            ("training.stages.pool.pairs=15", "data.batch_size=16"),
            "training.stages.pool.pairs=15 cannot mix batches of 16",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(overrides: tuple[str, ...], told: str, compose: Compose) -> None:
    assert told in refusal(compose(*overrides))


def test_a_chain_of_another_scale_is_refused(compose: Compose) -> None:
    config = compose()
    step = {"_target_": "sr_experiments.degradations.Bicubic", "scale": 2}
    chain: dict[str, Any] = {"_target_": "sr_experiments.degradations.Chain", "scale": "${scale}", "steps": [step]}
    OmegaConf.update(config, "degradation", chain, merge=False)
    assert "shrink by 2 (Bicubic) = 2, not by scale=4" in refusal(config)
    config.degradation.steps.append(step)
    assert build(config).module.degradation.scale == 4


class Lying(nn.Module):
    """Says that it shrinks by another number than it does."""

    scale = 4

    def forward(self, hr: torch.Tensor, key: torch.Tensor | None = None) -> torch.Tensor:
        return hr[..., ::2, ::2]


def test_a_degradation_that_does_not_shrink_as_it_says_is_refused(compose: Compose) -> None:
    config = compose()
    OmegaConf.update(config, "degradation", {"_target_": f"{__name__}.Lying"}, merge=False)
    assert "Lying makes 16x16 pixels of a crop of 32x32, not 8x8" in refusal(config)


def test_stored_lr_images_are_refused_where_nobody_knows_how_they_were_made(compose: Compose, photos: Path) -> None:
    sets = (f"data.root={photos}", "data.sets=[Alone,Both]")
    assert "stored LR images of a in Both nobody knows" in refusal(compose(*SRMD, *sets))
    assert build(compose(*SRMD, f"data.root={photos}", "data.sets=[Alone,Both/HR]")).datamodule.set_names
    pairs = ("data=paired", f"data.train.hr={photos / 'Both/HR'}", f"data.train.lr={photos / 'Both/LR/x4'}")
    assert "stored LR images of a in data.train nobody knows" in refusal(compose(*SRMD, *pairs))


def test_an_evaluation_needs_what_the_network_takes_too(compose: Compose) -> None:
    """But not of photographs that nothing is trained on."""
    data = build(compose("data.sets=[]")).datamodule
    network = SFTGAN(4, SubPixel, features=4, blocks=1)
    check_data(network, stages(Bicubic(4)), data)
    with pytest.raises(UserError, match=r"SFTGAN takes a condition.* of data\.train"):
        check_data(network, stages(Bicubic(4)), data, parts=1)
    with pytest.raises(UserError, match="which the degradation Bicubic does not give"):
        check_data(Seen(), stages(Bicubic(4)), data)


def test_a_crop_smaller_than_the_kernel_is_fine_where_lr_is_stored(compose: Compose, photos: Path) -> None:
    pairs = ("data=paired", f"data.train.hr={photos / 'Both/HR'}", f"data.train.lr={photos / 'Both/LR/x4'}")
    assert build(compose(*pairs, "degradation=srmd", "data.crop_size=12"))


def test_a_set_without_conditions_is_named(compose: Compose, photos: Path) -> None:
    write_png(photos / "maps" / "b.png", np.zeros((64, 64), np.uint8))
    data = ("data=folder", f"data.train.hr={photos / 'Alone'}", f"data.train.condition={photos / 'maps'}")
    small = ("model=sft_gan", "model.features=4", "model.blocks=1")
    assert build(compose(*small, *data))
    told = refusal(compose(*small, *data, f"data.root={photos}", "data.sets=[Alone]"))
    assert "none belongs to b of Alone: put NAME.npy or NAME.png for each into the folder Alone/condition" in told
    other = refusal(compose(*small, *data, "data.classes=7"))
    assert "class probabilities of the shape (1, 8, 32, 32); that given has the shape (1, 7, 32, 32)" in other
    pool = refusal(compose(*small, *data, "training.stages.pool.pairs=20"))
    assert "references and conditions would no longer belong to" in pool


class Seen(nn.Module):
    """Keeps what it was given beside LR."""

    inputs = ("degradation_map",)
    input_channels = MappingProxyType({"degradation_map": 16})
    scale = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, lr: torch.Tensor, degradation_map: torch.Tensor) -> torch.Tensor:
        self.told = degradation_map
        return self.weight * lr.repeat_interleave(2, -1).repeat_interleave(2, -2)


def batch_of(number: int, size: int = 3) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(number)
    hr = torch.randint(0, 256, (size, 3, 32, 32), generator=random).to(torch.uint8)
    return {"hr": hr, "key": torch.arange(size) + 100 * number}


def test_the_network_is_told_what_was_drawn_for_each_sample() -> None:
    degradation = BlurNoise(2, components=15)
    network = Seen()
    recipe = supervised(network, degradation).recipe
    batch = stages(degradation)(batch_of(1), 0)
    assert isinstance(recipe, Supervised)
    assert recipe.with_sr(batch)["sr"].shape == (3, 3, 32, 32)
    assert torch.equal(network.told, degradation.extras(batch["key"])["degradation_map"])
    assert torch.equal(batch["lr"], degradation(batch["hr"], batch["key"]))
    assert len({tuple(row.tolist()) for row in network.told}) == 3


def test_pairs_of_the_pool_bring_their_draws_along() -> None:
    degradation = BlurNoise(2)
    prepare = stages(degradation, Pool(6, 32, 2))
    mixed = 0
    for number in range(6):
        batch = prepare(batch_of(number), 0)
        mixed += len(set((batch["key"] // 100).tolist())) > 1
        assert torch.equal(batch["lr"], degradation(batch["hr"], batch["key"]))
        assert torch.equal(batch["degradation_map"], degradation.extras(batch["key"])["degradation_map"])
    assert mixed >= 2
    prepare.eval()
    given = batch_of(9)
    assert torch.equal(prepare(given, 0)["key"], given["key"])


def test_the_loss_sees_sharpened_hr_in_training_and_others_see_hr() -> None:
    recipe = supervised(Seen(), RealEsrgan(2), WeightedSum({"l1": {"weight": 1.0, "term": L1()}})).recipe
    assert isinstance(recipe, Supervised)
    hr = batch_of(3)["hr"].float() / 255
    batch = stages(RealEsrgan(2))(batch_of(3), 0)
    torch.testing.assert_close(batch["hr"], hr)
    sr = torch.rand(3, 3, 32, 32)
    value = recipe.terms({**batch, "sr": sr}, Play(0))["l1"].value
    torch.testing.assert_close(value, (sr - sharpened(hr)).abs().mean())
    assert abs(value - (sr - hr).abs().mean()) > 1e-4
    plain = recipe.terms({**stages(Bicubic(2))(batch_of(3), 0), "sr": sr}, Play(0))["l1"].value
    torch.testing.assert_close(plain, (sr - hr).abs().mean())
    stored = stages(RealEsrgan(2))({**batch_of(3), "lr": batch_of(3)["hr"][..., ::2, ::2]}, 0)
    assert "target" not in stored
    assert "target" not in stages(RealEsrgan(2)).eval()(batch_of(3), 0)
