"""Training steps a second: `sr-train` against a plain PyTorch loop that does the same work.

    python benchmarks/training_speed.py [--rounds 40] [--steps 15] [OVERRIDE ...]

Both train the default network on the default data, from the same kind of loader, with the same degradation, optimizer,
learning rates and memory layout. They take turns in one process: after every `--steps` steps of the trainer, with all
its callbacks and loggers, the plain loop runs as many. Validation and checkpoints fall outside of what is timed.
Overrides are those of `sr-train`; the plain loop knows the L1 loss and Adam in full precision.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.nn import functional as F

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build


def plain_loop(config: DictConfig, device: torch.device) -> Callable[[int], None]:
    """Set up what a person would write without a framework; returns a function that makes so many steps."""
    datamodule = instantiate(config.data)
    datamodule.prepare_data()
    datamodule.setup("fit")
    batches = iter(datamodule.train_dataloader())
    degradation = instantiate(config.degradation).to(device)
    network = instantiate(config.model).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.optimizer.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.trainer.max_steps)

    def train(steps: int) -> None:
        for _ in range(steps):
            pixels = next(batches)["hr"].to(device, non_blocking=True)
            hr = (pixels.float() / 255).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                lr = degradation(hr)
            optimizer.zero_grad()
            F.l1_loss(network(lr), hr).backward()
            optimizer.step()
            schedule.step()

    return train


class Clock:
    """Measures a turn by the wall and in processor time, which other programs on the machine hardly disturb."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start = self.now()

    def now(self) -> tuple[float, float]:
        """Wall and processor time, once the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, or since the start."""
        last, self.start = self.start, self.now()
        return self.start[0] - last[0], self.start[1] - last[1]


class TakeTurns(pl.Callback):
    """Times the trainer over `steps` steps, then the plain loop over as many, and so on.

    Args:
        config: what is trained.
        steps: steps of a turn.
    """

    def __init__(self, config: DictConfig, steps: int) -> None:
        self.config = config
        self.steps = steps
        self.ours: list[tuple[float, float]] = []
        self.plain: list[tuple[float, float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the plain loop up and start the clock."""
        self.train = plain_loop(self.config, pl_module.device)
        self.clock = Clock(pl_module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Let the plain loop have its turn when the trainer had its own."""
        if trainer.global_step % self.steps == 0:
            self.ours.append(self.clock.lap())
            self.train(self.steps)
            self.plain.append(self.clock.lap())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="turns that count; one before them warms up")
    parser.add_argument("--steps", type=int, default=15, help="steps of a turn")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as for sr-train")
    options = parser.parse_args()

    total = options.steps * (options.rounds + 1)
    with tempfile.TemporaryDirectory() as folder:
        quiet = [f"trainer.max_steps={total}", f"trainer.val_check_interval={total + 1}", "trainer.precision=32-true"]
        quiet += [f"callbacks.checkpoints.every={total + 1}", f"paths.run_folder={folder}", f"paths.cache_dir={folder}"]
        config = compose_config("train", [*quiet, *options.overrides])
        run = build(config)
        turns = TakeTurns(config, options.steps)
        run.trainer.callbacks.append(turns)  # type: ignore[attr-defined]
        run.fit(resume=None)
        run.close()

    for number, name in enumerate(("wall time", "processor time")):
        ours, plain = ([turn[number] for turn in side[1:]] for side in (turns.ours, turns.plain))
        ratios = [b / a for a, b in zip(ours, plain, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name}: sr-train {options.steps / statistics.median(ours):.2f}, "
            f"plain loop {options.steps / statistics.median(plain):.2f} steps/s (medians of {len(ratios)} turns); "
            f"speed of sr-train over plain: {middle:.3f} (quartiles {low:.3f} and {high:.3f})"
        )


if __name__ == "__main__":
    main()
