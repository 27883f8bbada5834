"""Short trainings of every kind, and what their weights come to: golden numbers that no rebuilding may change.

`python -m tests.training.golden` writes golden.json anew; do that only for a change that is meant to change weights.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.harness import run

FILE = Path(__file__).with_name("golden.json")

ESPCN = ["model=espcn", "optimizer.learning_rate=1e-3", "data.crop_size=32", "data.batch_size=4"]
GAN = [
    *ESPCN,
    "loss=srgan_mse",
    "loss.adversarial.discriminator.channels=4",
    "loss.adversarial.discriminator.hidden=8",
]
SRNTT = [
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
]
PAT = [
    "model=enhancenet",
    "model.features=4",
    "model.blocks=1",
    "loss=enhancenet_pat",
    "feature_network.weights=random",
    "loss.adversarial.discriminator.channels=4",
    "loss.adversarial.discriminator.hidden=8",
    "loss.adversarial.balance=0.6",
    "data.crop_size=64",
    "data.batch_size=2",
]
CASES: dict[str, list[str]] = {
    "l1": [*ESPCN, "loss=l1"],
    "ema_accumulation_clipping": [
        *ESPCN,
        "loss=l1",
        "ema_decay=0.9",
        "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=0.05",
    ],
    "several_rates": [
        *ESPCN,
        "loss=l1",
        "training.recipe.player.last_layer_rate=0.1",
        "scheduler=step",
        "scheduler.every=2",
    ],
    "srgan": [*GAN, "ema_decay=0.9"],
    "ragan_warm_up": [
        *GAN,
        "objective@loss.adversarial.objective=ragan",
        "loss.adversarial.pretrain_steps=1",
        "loss.adversarial.ramp=2",
        "loss.adversarial.r1=10",
    ],
    "wgan_gp": [
        *GAN,
        "objective@loss.adversarial.objective=wgan_gp",
        "loss.adversarial.discriminator_steps=2",
        "loss.adversarial.start=1",
        "trainer.accumulate_grad_batches=2",
    ],
    "enhancenet_pat": PAT,
    "srntt": [*SRNTT, "loss=srntt_l2"],
    "several_scales": [
        "model=vdsr",
        "model.channels=3",
        "model.layers=4",
        "model.features=4",
        "scales=[2,3,4]",
        "data.crop_size=48",
        "data.batch_size=2",
    ],
    "pair_pool": [*ESPCN, "degradation=real_esrgan", "training.stages.pool.pairs=8", "data.crop_size=64"],
    "outputs": ["model=lapsrn", "model.features=4", "model.depth=1", "loss=lapsrn", "data.crop_size=32"],
    "bf16": [*ESPCN, "loss=l1", "trainer.precision=bf16-mixed"],
    "srgan_bf16": [*GAN, "trainer.precision=bf16-mixed"],
    "two_processes": [
        *GAN,
        "objective@loss.adversarial.objective=ragan",
        "trainer=ddp_cpu",
        "loss.adversarial.balance=0.6",
        "ema_decay=0.9",
    ],
}
COMMON = [
    "data.num_workers=0",
    "data.sets=[]",
    "logger=none",
    "perceptual=off",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "trainer.max_steps=4",
    "callbacks.crops=null",
    "callbacks.best_and_worst=null",
    "callbacks.drawn=null",
]


def weights_after(overrides: list[str], folder: Path) -> dict[str, Tensor]:
    """Train for four updates; every weight, running average and optimizer state afterwards."""
    paths = [f"paths.run_folder={folder}", f"paths.output_root={folder}", f"data.cache_dir={folder}/cache"]
    precision = [] if any("precision" in override for override in overrides) else ["trainer.precision=32-true"]
    given = [*COMMON, *overrides, *precision]
    if "trainer=ddp_cpu" in overrides:
        run("train", *given, f"hydra.run.dir={folder}", f"data.cache_dir={folder}/cache", cwd=folder).check_returncode()
    else:
        _train_here([*given, *paths])
    return state_of(torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True))


def _train_here(overrides: list[str]) -> None:
    from sr_experiments.app.compose import compose_config
    from sr_experiments.app.run import build

    torch.set_num_threads(1)
    build(compose_config("train", overrides)).fit(None)


def state_of(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """All of a checkpoint that a training has changed, under names that say which network it belongs to."""
    found: dict[str, Tensor] = {}
    for name, value in checkpoint["state_dict"].items():
        for prefix, short in PREFIXES.items():
            if name.startswith(prefix):
                found[short + name.removeprefix(prefix)] = value
                break
    for number, optimizer in enumerate(checkpoint["optimizer_states"]):
        for index, state in optimizer["state"].items():
            found |= {f"optimizer{number}.{index}.{name}": value for name, value in state.items()}
    return found


PREFIXES = {
    "recipe.player.network.": "network.",
    "recipe.player.average.module.": "average.",
    "recipe.critic.player.network.": "discriminator.",
    "recipe.critic.balance.": "balance.",
}


def digest(state: dict[str, Tensor]) -> str:
    """A digest of all bits."""
    whole = hashlib.sha256()
    for name in sorted(state):
        whole.update(name.encode())
        whole.update(state[name].detach().contiguous().float().numpy().tobytes())
    return whole.hexdigest()


def numbers(state: dict[str, Tensor]) -> dict[str, float]:
    """The norm of every part: what another machine must come to but for rounding."""
    parts: dict[str, list[Tensor]] = {}
    for name, value in state.items():
        parts.setdefault(name.split(".")[0], []).append(value.double().flatten())
    return {part: float(torch.cat(values).norm()) for part, values in sorted(parts.items())}


def machine() -> str:
    """What bits depend on."""
    return f"torch {torch.__version__.split('+')[0]} {torch.backends.cpu.get_cpu_capability()}"


def main() -> None:
    """Write the golden file, and all tensors to the folder that is named on the command line."""
    golden: dict[str, Any] = {"machine": machine(), "cases": {}}
    for name, overrides in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            state = weights_after(overrides, Path(folder))
        golden["cases"][name] = {"digest": digest(state), "norms": numbers(state)}
        print(name, golden["cases"][name])
        if len(sys.argv) > 1:
            torch.save(state, Path(sys.argv[1]) / f"{name}.pt")
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
