"""Lightning's trainer from the config, with the choices that depend on the machine."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.strategies import DDPStrategy

from sr_experiments.app.config import check_config
from sr_experiments.app.ranges import check_ranges
from sr_experiments.app.trained import portable_config
from sr_experiments.callbacks.checkpoints import AtomicCheckpointIO
from sr_experiments.errors import UserError
from sr_experiments.processes.start import uses_gpu

# Lightning refuses these under manual optimization; the training module does their work.
OF_THE_TRAINING = ("gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches")


class CarryConfig(pl.Callback):
    """Puts the network's config into every checkpoint, so that the file alone is enough to use it.

    Args:
        config: plain values.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the config."""
        checkpoint["config"] = self.config

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse a checkpoint of another scale, whose weights may well fit."""
        theirs, ours = checkpoint.get("config", {}).get("scale"), self.config["scale"]
        if theirs != ours:
            raise UserError(
                f"The checkpoint was trained for x{theirs} and this run is for x{ours}: set scale={theirs}."
            )


def check_run(config: DictConfig, added: Iterable[str] = ()) -> None:
    """Refuse a composed config of a training that cannot work, as far as that can be told without beginning it.

    Args:
        config: the composed config.
        added: dotted keys that the command line added with `+`.

    Raises:
        UserError: it cannot.
    """
    checked = copy.deepcopy(config)
    if checked.trainer.precision == "auto":
        checked.trainer.precision = "32-true"  # which one it will be is for the process that trains to find out
    check_config(checked, added)
    check_ranges(checked)
    if config.test_checkpoint not in ("last", "best"):
        raise UserError(f"test_checkpoint={config.test_checkpoint} is unknown: use last or best.")
    settings: Any = OmegaConf.to_container(config.trainer, resolve=True)
    _check(settings)


def make_trainer(config: DictConfig, callbacks: Iterable[pl.Callback] = (), *, training: bool = True) -> pl.Trainer:
    """Make the trainer with its callbacks and loggers.

    Args:
        config: the composed config.
        callbacks: further ones, beside those of the config.
        training: False where nothing is trained or logged.

    Raises:
        UserError: a setting cannot work, or there are not enough devices.
    """
    settings: Any = OmegaConf.to_container(config.trainer, resolve=True)
    if training:
        _check(settings)
    settings = {key: value for key, value in settings.items() if key not in OF_THE_TRAINING}
    parts = {name: [instantiate(part) for part in config[name].values() if part] for name in ("callbacks", "logger")}
    parts["callbacks"] += callbacks
    if training:
        parts["callbacks"].append(CarryConfig(portable_config(config)))
    if "precision" in settings:
        settings["precision"] = pick_precision(settings["precision"], settings["accelerator"])
    quiet_lightning()
    try:
        trainer = instantiate(
            settings,
            callbacks=parts["callbacks"],
            logger=parts["logger"] or False,
            plugins=[AtomicCheckpointIO()],
            # Samplers that neither repeat nor drop images, and crops that do not depend on the number of processes.
            use_distributed_sampler=False,
        )
    except Exception as error:
        raise UserError(f"The trainer cannot be set up: {_last_cause(error)}") from error
    if isinstance(trainer.strategy, DDPStrategy):
        # DDP would send buffers around at every forward pass, and wait for ranks that have fewer images to evaluate;
        # the training module does it once before an evaluation.
        trainer.strategy._ddp_kwargs.setdefault("broadcast_buffers", False)
    return trainer


def expect_unused_parameters(trainer: pl.Trainer) -> None:
    """Let DDP, where it is used, look which parameters have a gradient: not all have one in every update."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def _check(settings: dict[str, Any]) -> None:
    interval = settings["val_check_interval"]
    if not isinstance(interval, int) or isinstance(interval, bool) or interval < 1:
        raise UserError(f"trainer.val_check_interval={interval} must be a whole number of generator updates.")
    if settings["max_steps"] < 1 and settings["max_time"] is None:
        raise UserError("Give the training an end: trainer.max_steps=N (generator updates) or trainer.max_time.")
    if settings["sync_batchnorm"] and not uses_gpu(settings["accelerator"]):
        raise UserError("trainer.sync_batchnorm=true works on GPUs only: torch has no such layer for the CPU.")


def pick_precision(precision: str, accelerator: str) -> str:
    """`auto` becomes bf16-mixed on a GPU that has it, else full precision; anything else stays."""
    if precision != "auto":
        return precision
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def quiet_lightning() -> None:
    """Keep advice away that does not apply.

    Few loader workers are right here, the loader is resumable, frozen networks stay in eval mode, schedules count
    generator updates, whether or not a discriminator plays yet. One process starts the others where SLURM does not.
    Scores are the same in all processes before they are logged.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*LeafSpec.*",
        ".*in eval mode at the start of training.*",
        ".*across ranks is zero.*",
        ".*`srun` command is available.*",
        ".*`broadcast_buffers` is deprecated.*",
        ".*functional.all_gather is deprecated.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",
        ".*lr_scheduler.step.* before .*optimizer.step.*",
    ):
        warnings.filterwarnings("ignore", message)


def _last_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
