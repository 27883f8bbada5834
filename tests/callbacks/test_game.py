"""Watching the game in a real training, and what is said about it."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.callbacks.game import GameWatch, corner_crops
from sr_experiments.errors import UserError


class Rows(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:  # type: ignore[override]
        self.rows.setdefault(int(step or 0), {}).update(metrics)


class Memory(nn.Module):
    """Takes for real what it was shown in training and nothing else."""

    def __init__(self, crop_size: int) -> None:
        super().__init__()
        self.crop_size = crop_size
        self.bias = nn.Parameter(torch.ones(1, 1))

    def forward(self, images: Tensor) -> Tensor:
        known = torch.full((len(images), 1), 1.0 if self.training or images.requires_grad else -1.0)
        return known * self.bias


def watch(tmp_path: Path, *overrides: str, discriminator: nn.Module | None = None) -> dict[int, dict[str, float]]:
    torch.set_num_threads(1)
    tiny = [
        "model=espcn", "loss=srgan_mse", "loss.adversarial.discriminator.channels=4", "data.crop_size=32",
        "loss.adversarial.discriminator.hidden=8", "data.batch_size=2", "data.num_workers=0",
        f"paths.run_folder={tmp_path}", f"data.cache_dir={tmp_path}/cache",
    ]  # fmt: skip
    config = compose_config("train", [*tiny, *overrides])
    pl.seed_everything(1, verbose=False)
    module: Any = instantiate(config.training)
    if discriminator is not None:
        module.recipe.critic.player.network = discriminator.requires_grad_(False)
    rows = Rows()
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=4, val_check_interval=2, check_val_every_n_epoch=None, log_every_n_steps=1,
        logger=rows, callbacks=[instantiate(config.callbacks.game)], use_distributed_sampler=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=instantiate(config.data))
    return rows.rows


pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start", "ignore:.*lr_scheduler.step.*before")


def test_validation_says_how_the_game_stands(tmp_path: Path) -> None:
    rows = watch(tmp_path)
    for step in (2, 4):
        row = rows[step]
        seen = sum(rows[s]["train/d_accuracy_real"] for s in (step - 1, step)) / 2
        assert 0 <= row["val/d_accuracy_fake"] <= 1
        assert row["val/d_overfit"] == pytest.approx(seen - row["val/d_accuracy_real"], abs=1e-6)
        assert 0 < row["val/lr_psnr"] < 60


def test_before_the_game_only_lr_consistency_is_logged(tmp_path: Path) -> None:
    rows = watch(tmp_path, "loss.adversarial.start=3")
    assert set(rows[2]) & {"val/d_accuracy_real", "val/d_overfit", "val/lr_psnr"} == {"val/lr_psnr"}
    assert "val/d_overfit" in rows[4]


def test_a_discriminator_that_memorises_raises_the_alarm(tmp_path: Path) -> None:
    rows = watch(tmp_path, discriminator=Memory(32))
    assert rows[4]["val/d_overfit"] == 1


def test_one_warning_while_the_game_is_uneven(caplog: pytest.LogCaptureFixture) -> None:
    game = GameWatch(patience=3)

    def show(*accuracies: float) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            for accuracy in accuracies:
                game.recent.append(accuracy)
                game.warn(step=7)
        return [record.getMessage() for record in caplog.records]

    assert show(0.99, 0.99) == []
    (message,) = show(0.99, 1.0, 1.0, 1.0)
    assert "Step 7: for 3 logged steps the discriminator wins" in message
    assert show(0.99, 0.99, 0.99) == []
    assert show(0.7, 0.8, 0.9) == []
    (message,) = show(0.5, 0.5, 0.51, 0.4)
    assert "loses" in message
    resumed = GameWatch(patience=3)
    resumed.load_state_dict(game.state_dict())
    game = resumed
    assert show(0.5, 0.5) == []
    assert math.isclose(sum(resumed.recent), 1.4)


def test_corner_crops() -> None:
    image = torch.arange(2 * 36.0).view(1, 2, 6, 6)
    crops = corner_crops(image, image + 1, 4)
    assert len(crops) == 4
    assert torch.equal(crops[-1][0], image[..., 2:, 2:])
    assert torch.equal(crops[1][1], image[..., :4, 2:] + 1)
    assert len(corner_crops(image, image, 6)) == 1
    assert corner_crops(image, image, 7) == []


def test_bad_numbers() -> None:
    with pytest.raises(UserError, match="crops=0"):
        GameWatch(crops=0)
