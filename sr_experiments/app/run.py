"""One training run: its parts, training and test, and what it leaves behind."""

from __future__ import annotations

import copy
import logging
import signal
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from sr_experiments.errors import Preempted, UserError
from sr_experiments.processes.interrupt import interruptible
from sr_experiments.runs.folder import RunFolder

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from sr_experiments.metrics.protocol import Protocol
    from sr_experiments.processes.preemption import Preemption
    from sr_experiments.training.module import Training

log = logging.getLogger(__name__)


def train(config: DictConfig) -> None:
    """One run: check, train, test, write `results.json`; in processes of its own where it takes several."""
    from hydra.core.hydra_config import HydraConfig

    from sr_experiments.app.compose import added_keys
    from sr_experiments.app.processes import check_shared_folder, run_in_workers
    from sr_experiments.app.ranges import check_choices
    from sr_experiments.app.trainer import check_run
    from sr_experiments.processes.preemption import Preemption
    from sr_experiments.processes.start import is_worker, workers_wanted
    from sr_experiments.runs.owner import owned
    from sr_experiments.runs.results import clear_results, write_failure
    from sr_experiments.runs.resume import checkpoint_to_resume

    preemption = Preemption()
    with preemption.listening():
        check_shared_folder()
        check_choices(HydraConfig.get().overrides.task, config)
        check_run(config, added_keys())
        folder = Path(HydraConfig.get().runtime.output_dir)
        resume = checkpoint_to_resume(config.resume, folder)
        workers = workers_wanted(config.trainer)
        # A worker belongs to the process that started it, which owns the folder.
        with nullcontext() if is_worker() else owned(folder, config.resume, config.overwrite):
            clear_results(folder)
            try:
                if workers:
                    run_in_workers("training", workers, preemption)
                else:
                    train_here(config, folder, resume, preemption)
            except BaseException as error:
                write_failure(folder, error)
                raise


def train_here(config: DictConfig, folder: Path, resume: Path | None, preemption: Preemption) -> None:
    """One run, or its share of one, in this process."""
    from hydra.core.hydra_config import HydraConfig

    from sr_experiments.callbacks.replacing import ReplaceRun
    from sr_experiments.metrics.table import print_table
    from sr_experiments.runs.results import is_first_process, versions, write_failure, write_results

    started = time.monotonic()
    replacing = [ReplaceRun(folder)] if config.overwrite else []
    if replacing and is_first_process():
        RunFolder(folder).wandb_id.unlink(missing_ok=True)  # W&B is told of the run before it begins
    run = build(config, [preemption, *replacing], resume)
    try:
        run.fit(resume)
        test = run.test(folder)
    except BaseException as error:
        if preemption.asked is not None and not isinstance(error, Preempted | KeyboardInterrupt):
            # Other processes have left already, and this one was in the middle of communicating with them.
            error = KeyboardInterrupt() if preemption.asked == signal.SIGINT else Preempted()
        write_failure(folder, error, run.facts())
        raise error
    finally:
        run.close()
    if not run.trainer.is_global_zero:
        return
    results = {
        "status": "finished",
        "overrides": list(HydraConfig.get().overrides.task),
        **run.facts(),
        "seconds": round(time.monotonic() - started, 1),
        "versions": versions(),
        "test": test,
        "higher_is_better": run.higher_is_better,
    }
    path = write_results(folder, results)
    print_table(test, results["protocol"], results["higher_is_better"])
    print(f"Results: {path}")


class Run:
    """The parts of one run, made from its config.

    Attributes:
        trainer: Lightning's trainer.
        module: what is trained.
        datamodule: what it is trained and tested on.
    """

    def __init__(
        self, config: DictConfig, trainer: pl.Trainer, module: Training, datamodule: Any, protocol: Protocol
    ) -> None:
        self.config = config
        self.trainer = trainer
        self.module = module
        self.datamodule = datamodule
        self.protocol = protocol

    def fit(self, resume: Path | None) -> None:
        """Train, from the start or from a checkpoint."""
        from sr_experiments.app.naming import choices
        from sr_experiments.callbacks.checkpoints import Checkpoints
        from sr_experiments.runs.environment import environment
        from sr_experiments.runs.results import versions

        config: Any = OmegaConf.to_container(self.config, resolve=True)
        made_with = {"choices": choices(), "environment": environment(), "versions": versions()}
        for logger in self.trainer.loggers:
            logger.log_hyperparams({**config, **made_with})
        if self.module.recipe.per_image:
            return  # it is the test that trains
        with interruptible():
            self.trainer.fit(self.module, datamodule=self.datamodule, ckpt_path=resume, weights_only=True)
            checkpoints = self.trainer.checkpoint_callback
            if isinstance(checkpoints, Checkpoints) and not checkpoints.has_trained:
                log.info("Nothing is left to train: the checkpoint has all %d updates.", self.trainer.global_step)
            if isinstance(checkpoints, Checkpoints) and checkpoints.validation_pending:
                # The run was interrupted in the validation after its last update.
                self.trainer.validate(self.module, datamodule=self.datamodule, verbose=False)

    def test(self, folder: Path) -> dict[str, Any]:
        """Score the last or the best checkpoint on all sets."""
        if not self.datamodule.set_names:
            return {}
        from sr_experiments.callbacks.evaluation import evaluation_of

        path = None
        if not self.module.recipe.per_image:
            path = RunFolder(folder).checkpoint(self.config.test_checkpoint)
        with interruptible():
            self.trainer.test(self.module, datamodule=self.datamodule, ckpt_path=path, weights_only=True, verbose=False)
        return evaluation_of(self.trainer).results

    @property
    def higher_is_better(self) -> dict[str, bool]:
        """Name of a score beside the protocol's -> whether more of it is better."""
        from sr_experiments.callbacks.evaluation import Evaluation

        found = [c for c in self.trainer.callbacks if isinstance(c, Evaluation)]  # type: ignore[attr-defined]
        return found[0].scores.higher_is_better if found else {}

    def facts(self) -> dict[str, Any]:
        """What is known about the run however it ended."""
        from sr_experiments.runs.environment import environment

        loss, matching = self.module.loss, self.module.stages.matching
        looking = [part.feature_network for part in (loss, matching) if part is not None]
        is_random = any(network.is_random for network in looking if network is not None)
        marks = {"random_features": True} if is_random else {}
        return {
            **marks,
            "scale": self.config.scale,
            "protocol": self.protocol.stamp(),
            "parameters": sum(p.numel() for p in self.module.recipe.player.network.parameters()),
            "steps": self.trainer.global_step,
            "environment": environment(),
        }

    def close(self) -> None:
        """Complete the files of all loggers."""
        for logger in self.trainer.loggers:
            if hasattr(logger, "close"):
                logger.close()


def build(config: DictConfig, callbacks: Sequence[pl.Callback] = (), resume: Path | None = None) -> Run:
    """Make all parts of a run; what is wrong with any of them is said here, before hours are spent.

    Args:
        config: the composed config.
        callbacks: further ones, beside those of the config.
        resume: the checkpoint that the run will go on from.
    """
    import pytorch_lightning as pl
    from hydra.utils import instantiate

    from sr_experiments.app.trainer import expect_unused_parameters, make_trainer
    from sr_experiments.models.traits import traits
    from sr_experiments.training.checks import check_data

    pl.seed_everything(config.seed, workers=True, verbose=False)
    if config.scales is not None:
        config = _with_several_scales(config)
    datamodule = instantiate(config.data)
    module = instantiate(config.training)
    network = module.recipe.player.network
    check_data(network, module.stages, datamodule, module.accumulate_grad_batches)
    if config.init_from is not None:
        _initialise(module, config.init_from)
    elif traits(network).needs_first_stage and resume is None:
        raise UserError(
            "model.freeze_content=true keeps a content extractor as it was trained before: give that training with "
            "init_from=RUN_OR_CKPT (of experiment=srntt_content)."
        )
    elif traits(network).needs_weights:
        raise UserError(f"{type(network).__name__} is the network of its weights: give them, init_from=FILE.")
    protocol = instantiate(config.metrics)
    trainer = make_trainer(config, callbacks)
    if len(traits(network).scales) > 1:
        expect_unused_parameters(trainer)  # those of the scales that an update does not have
    return Run(config, trainer, module, datamodule, protocol)


def _with_several_scales(config: DictConfig) -> DictConfig:
    """The config with a stage that trains at each of `scales`: the configured degradation, once for each."""
    if not isinstance(config.scales, ListConfig) or len(set(config.scales)) < len(config.scales):
        raise UserError(f"scales={config.scales} must be a list of different numbers, as [2,3,4], or null.")
    degradations = []
    for scale in config.scales:
        at_scale = copy.deepcopy(config)
        at_scale.scale = scale
        degradations.append(OmegaConf.to_container(at_scale.degradation, resolve=True))
    config = copy.deepcopy(config)
    config.training.stages.scales = {
        "_target_": "sr_experiments.training.stages.scales.SeveralScales",
        "scales": config.scales,
        "degradations": degradations,
        "seed": config.seed,
        "crop_size": config.data.crop_size,
    }
    return config


def _initialise(module: Training, source: str) -> None:
    """Begin with the network of another run: the second stage of a two-stage plan."""
    from sr_experiments.models.weights import network_state, read_checkpoint
    from sr_experiments.runs.folder import find_checkpoint

    file = find_checkpoint(source)
    module.recipe.player.start_from(network_state(read_checkpoint(file)), file)
