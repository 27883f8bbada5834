"""One evaluation: a trained network on benchmark sets, beside bicubic."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError

if TYPE_CHECKING:
    from sr_experiments.app.trained import TrainedNetwork
    from sr_experiments.processes.preemption import Preemption
    from sr_experiments.training.stages import Stages


def evaluate(config: DictConfig) -> None:
    """One evaluation, in processes of its own where it takes several."""
    from sr_experiments.app.processes import check_shared_folder, run_in_workers
    from sr_experiments.processes.preemption import Preemption
    from sr_experiments.processes.start import workers_wanted

    preemption = Preemption()
    with preemption.listening():
        check_shared_folder()
        workers = workers_wanted(config.trainer)
        if workers:
            run_in_workers("evaluation", workers, preemption)
        else:
            evaluate_here(config, preemption)


def evaluate_here(config: DictConfig, preemption: Preemption) -> None:
    """Build the network, score it on all sets or on this process's share of them, write `results.json`."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from sr_experiments.app.compose import added_keys
    from sr_experiments.app.config import check_config
    from sr_experiments.app.trainer import make_trainer
    from sr_experiments.callbacks.evaluation import evaluation_of
    from sr_experiments.metrics.table import print_table
    from sr_experiments.runs.results import versions, write_results
    from sr_experiments.training.checks import check_data, check_matching
    from sr_experiments.training.evaluator import Evaluator

    started = time.monotonic()
    trained = _network(config)
    config.scale = trained.scale
    check_config(config, added_keys())
    datamodule = instantiate(config.data)
    if not datamodule.set_names:
        raise UserError("There is nothing to score: give data.root=DIR data.sets=[Set5,Set14], or data=sample.")
    protocol = instantiate(config.metrics)
    trainer = make_trainer(config, [preemption], training=False)
    stages = _stages(config, trained)
    check_matching(trained.network, stages)
    check_data(trained.network, stages, datamodule)
    trainer.test(Evaluator(trained.network, stages), datamodule=datamodule, verbose=False)
    evaluation = evaluation_of(trainer)
    is_random = stages.matching is not None and stages.matching.feature_network.is_random
    results = {
        "status": "finished",
        **({"random_features": True} if is_random else {}),
        "overrides": list(HydraConfig.get().overrides.task),
        "scale": trained.scale,
        "protocol": protocol.stamp(),
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "steps": trained.step,
        "test": evaluation.results,
        "higher_is_better": evaluation.scores.higher_is_better,
        "seconds": round(time.monotonic() - started, 1),
        "versions": versions(),
    }
    if trainer.is_global_zero:
        path = write_results(HydraConfig.get().runtime.output_dir, results)
        print_table(results["test"], results["protocol"], results["higher_is_better"])
        print(f"Results: {path}")


def _network(config: DictConfig) -> TrainedNetwork:
    """The network to score: from a checkpoint, or by name with bare weights."""
    if config.checkpoint is not None:
        if config.get("model") is not None or config.weights is not None:
            raise UserError("Give either checkpoint=..., or model=... with weights=..., not both.")
        from sr_experiments.app.trained import load_trained

        _refuse_parts_of_the_checkpoint()
        return load_trained(config.checkpoint, config.trust, config.scale)
    if config.get("model") is None or config.weights is None:
        raise UserError("Say what to score: checkpoint=RUN_OR_CKPT, or model=NAME weights=FILE scale=N.")
    if config.scale is None:
        config.scale = 4
    from sr_experiments.app.trained import load_named

    return load_named(config)


def _refuse_parts_of_the_checkpoint() -> None:
    """A checkpoint knows how references were matched: settings of the command line would be read by nobody."""
    from hydra.core.hydra_config import HydraConfig

    for override in HydraConfig.get().overrides.task:
        part = re.split(r"[.=@]", override.lstrip("+~"))[0]
        if part in ("matching", "feature_network"):
            raise UserError(
                f"{override}: a checkpoint brings its own {part} with it. If its feature weights lie elsewhere here, "
                "give feature_weights=FILE."
            )


def _stages(config: DictConfig, trained: TrainedNetwork) -> Stages:
    from hydra.utils import instantiate

    from sr_experiments.training.stages import Stages
    from sr_experiments.training.stages.degrade import Degrade
    from sr_experiments.training.stages.describe import Describe
    from sr_experiments.training.stages.match import Match

    chosen = config.get("degradation")
    plain: Any = trained.degradation if chosen is None else OmegaConf.to_container(chosen, resolve=True)
    degradation = instantiate(plain)
    if degradation.scale != trained.scale:
        raise UserError(f"The degradation shrinks by {degradation.scale}, the network enlarges by {trained.scale}.")
    # References are blurred by what makes the LR images, also where that is not what the network was trained for.
    matching = trained.make_matching("feature_weights=FILE", config.feature_weights, plain)
    return Stages(degrade=Degrade(degradation), describe=Describe(), match=Match(matching))
