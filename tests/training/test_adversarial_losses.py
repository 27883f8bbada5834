"""The shipped adversarial losses, and the game under several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config
from sr_experiments.training.recipes.adversarial import Adversarial

LOSSES = {
    "srgan_mse": ("SRGANDiscriminator", "Vanilla", 1e-3),
    "srgan_vgg22": ("SRGANDiscriminator", "Vanilla", 1e-3),
    "srgan_vgg54": ("SRGANDiscriminator", "Vanilla", 1e-3),
    "enhancenet_ea": ("EnhanceNetDiscriminator", "Vanilla", 3e-3),
    "enhancenet_pa": ("EnhanceNetDiscriminator", "Vanilla", 1.0),
    "enhancenet_eat": ("EnhanceNetDiscriminator", "Vanilla", 6e-3),
    "enhancenet_pat": ("EnhanceNetDiscriminator", "Vanilla", 2.0),
    "esrgan": ("ESRGANDiscriminator", "RelativisticAverage", 5e-3),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_shipped_losses_bring_their_game(loss: str, tmp_path: Path) -> None:
    config = compose_config(
        "train",
        [
            f"loss={loss}", "data.crop_size=64", "loss.adversarial.discriminator.channels=4", "model=espcn",
            "feature_network.weights=random", "feature_network.normalise=none", "trainer.precision=32-true",
            f"paths.run_folder={tmp_path}",
        ],
    )  # fmt: skip
    check_config(config)
    torch.manual_seed(0)
    module = instantiate(config.training)
    recipe = module.recipe
    assert isinstance(recipe, Adversarial)
    critic = recipe.critic
    names = type(critic.player.network).__name__, type(critic.objective).__name__, critic.game.weight
    assert names == LOSSES[loss]
    assert critic.game.balance == (0.9 if loss.startswith("enhancenet") else None)
    assert not any(name.startswith("recipe.loss.") for name, _ in module.named_parameters())
    assert module.loss is not None
    values = module.loss(sr=torch.rand(1, 3, 64, 64), hr=torch.rand(1, 3, 64, 64), lr=torch.rand(1, 3, 16, 16))
    assert set(values) == set(module.loss.weights)
    assert all(torch.isfinite(value) for value in values.values())


def test_parts_swap_by_one_override() -> None:
    config = compose_config(
        "train",
        [
            "loss=srgan_vgg54",
            "discriminator@loss.adversarial.discriminator=patchgan",
            "objective@loss.adversarial.objective=wgan_gp",
            "loss.adversarial.weight=0.5",
        ],
    )
    assert config.loss.adversarial.discriminator._target_.endswith("PatchGAN")
    assert config.loss.adversarial.objective._target_.endswith("WassersteinGP")
    assert config.loss.adversarial.weight == 0.5


SCRIPT = """
import sys
import torch
import pytorch_lightning as pl
from hydra.utils import instantiate
from sr_experiments.app.compose import compose_config

folder, devices, *overrides = sys.argv[1:]
torch.set_num_threads(1)
config = compose_config("train", overrides)
pl.seed_everything(config.seed, verbose=False)
data, module = instantiate(config.data), instantiate(config.training)
trainer = pl.Trainer(
    accelerator="cpu", devices=int(devices), strategy="ddp" if int(devices) > 1 else "auto", max_steps=4,
    use_distributed_sampler=False, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, datamodule=data)
assert trainer.global_step == 4
state = {"module": module.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers]}
torch.save(state, f"{folder}/{devices}-{trainer.global_rank}.pt")
"""


@pytest.mark.slow
def test_processes_agree(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    overrides = [
        "model=espcn", "loss=srgan_mse", "loss.adversarial.balance=0.9", "loss.adversarial.weight=0.1",
        "discriminator@loss.adversarial.discriminator=enhancenet", "loss.adversarial.discriminator.channels=4",
        "loss.adversarial.discriminator.hidden=8", "objective@loss.adversarial.objective=wgan_gp",
        "data.crop_size=32", "data.batch_size=4", "data.num_workers=0", "data.sets=[]",
        "trainer.accumulate_grad_batches=2", "training.recipe.player.gradient_clip_val=0.5", "optimizer.eps=1e-3",
        f"paths.run_folder={tmp_path}", f"data.cache_dir={tmp_path}/cache",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for devices in ("2", "1"):
        command = [sys.executable, str(script), str(tmp_path), devices, *overrides]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
    first, second, alone = (torch.load(tmp_path / f"{name}.pt", weights_only=False) for name in ("2-0", "2-1", "1-0"))
    for name, value in first["module"].items():
        assert torch.equal(value, second["module"][name]), name
        # Accuracies beside the mean of the other images depend on which images are judged together.
        if name != "recipe.critic.balance.accuracies":
            assert torch.allclose(value.float(), alone["module"][name].float(), atol=2e-5), name
    for optimizers in zip(first["optimizers"], second["optimizers"], strict=True):
        for index, state in optimizers[0]["state"].items():
            assert torch.equal(state["exp_avg"], optimizers[1]["state"][index]["exp_avg"])
