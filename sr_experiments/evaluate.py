"""`sr-eval`: score a trained network on benchmark sets, beside bicubic."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError, exit_with_message

if TYPE_CHECKING:
    from sr_experiments.callbacks.preemption import Preemption

CONFIG = "eval"


def main() -> int:
    """Entry point of `sr-eval`."""
    return exit_with_message(_main)


def _main() -> int:
    from sr_experiments.launch.app import run_app

    return run_app(CONFIG, evaluate)


def evaluate(config: DictConfig) -> None:
    """One evaluation, in processes of its own where it takes several."""
    from hydra.core.hydra_config import HydraConfig

    from sr_experiments.callbacks.preemption import Preemption
    from sr_experiments.launch.processes import check_shared_folder, run_workers, workers_wanted

    preemption = Preemption()
    with preemption.listening():
        check_shared_folder()
        workers = workers_wanted(config.trainer)
        if workers:
            run_workers("evaluate", Path(HydraConfig.get().runtime.output_dir), workers, preemption)
        else:
            evaluate_here(config, preemption)


def evaluate_here(config: DictConfig, preemption: Preemption) -> None:
    """Build the network, score it on all sets or on this process's share of them, write `results.json`."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from sr_experiments.launch.app import added_keys
    from sr_experiments.launch.config import check_config
    from sr_experiments.launch.results import print_table, versions, write_results
    from sr_experiments.launch.trainer import make_trainer

    started = time.monotonic()
    trained = _network(config)
    config.scale = trained.scale
    check_config(config, added_keys())
    datamodule = instantiate(config.data)
    if not datamodule.set_names:
        raise UserError("There is nothing to score: give data.root=DIR data.sets=[Set5,Set14], or data=sample.")
    protocol = instantiate(config.metrics)
    trainer = make_trainer(config, [preemption], training=False)
    results = {
        "status": "finished",
        "overrides": list(HydraConfig.get().overrides.task),
        "scale": trained.scale,
        "protocol": protocol.stamp(),
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "steps": trained.step,
        "test": _test(config, trained, trainer, datamodule),
        "seconds": round(time.monotonic() - started, 1),
        "versions": versions(),
    }
    if trainer.is_global_zero:
        path = write_results(HydraConfig.get().runtime.output_dir, results)
        print_table(results["test"], results["protocol"])
        print(f"Results: {path}")


def _network(config: DictConfig) -> Any:
    """The network to score: from a checkpoint, or by name with bare weights."""
    if config.checkpoint is not None:
        if config.get("model") is not None or config.weights is not None:
            raise UserError("Give either checkpoint=..., or model=... with weights=..., not both.")
        from sr_experiments.launch.checkpoints import load_trained

        trained = load_trained(config.checkpoint, config.trust)
        if config.scale not in (None, trained.scale):
            raise UserError(f"scale={config.scale} was asked for, but {config.checkpoint} enlarges by {trained.scale}.")
        return trained
    if config.get("model") is None or config.weights is None:
        raise UserError("Say what to score: checkpoint=RUN_OR_CKPT, or model=NAME weights=FILE scale=N.")
    if config.scale is None:
        config.scale = 4
    from hydra.utils import instantiate

    from sr_experiments.launch.checkpoints import BICUBIC, TrainedNetwork
    from sr_experiments.models.weights import load_weights, network_state, read_checkpoint

    network = instantiate(config.model)
    load_weights(network, network_state(read_checkpoint(config.weights)), config.weights)
    return TrainedNetwork(network.eval(), config.scale, {**BICUBIC, "scale": config.scale}, step=0)


def _test(config: DictConfig, trained: Any, trainer: Any, datamodule: Any) -> dict[str, Any]:
    from hydra.utils import instantiate

    from sr_experiments.callbacks.evaluation import Evaluation
    from sr_experiments.training.supervised import Supervised

    chosen = config.get("degradation")
    degradation = instantiate(chosen if chosen is not None else OmegaConf.create(trained.degradation))
    if degradation.scale != trained.scale:
        raise UserError(f"The degradation shrinks by {degradation.scale}, the network enlarges by {trained.scale}.")
    module = Supervised(trained.network, degradation)
    trainer.test(module, datamodule=datamodule, verbose=False)
    (evaluation,) = [callback for callback in trainer.callbacks if isinstance(callback, Evaluation)]
    return evaluation.results


if __name__ == "__main__":
    sys.exit(main())
