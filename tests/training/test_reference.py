"""Real trainings of seconds with references: what is particular to SRNTT in the two training modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config
from sr_experiments.app.run import build
from sr_experiments.callbacks.checkpoints import Checkpoints
from sr_experiments.errors import UserError, find_user_error
from sr_experiments.training.module import Training
from sr_experiments.training.recipes.adversarial import Adversarial
from sr_experiments.training.recipes.supervised import Supervised
from tests.training.test_adversarial import Rows, copy_of, same

TINY = [
    "model=srntt",
    "model.features=8",
    "model.content_blocks=1",
    "model.blocks=[1,1,1]",
    "feature_network.weights=random",
    "feature_network.normalise=none",
    "optimizer.learning_rate=1e-3",
    "data.crop_size=32",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.sets=[]",
    "logger=none",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.max_steps=3",
]
PAIR = ["data=reference_sample", "data.references.size=48"]
GAME = ["loss=srntt", "loss.adversarial.discriminator.channels=2", "loss.adversarial.discriminator.hidden=4"]

pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start", "ignore:.*lr_scheduler.step.*before")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., DictConfig]:
    def composed(*overrides: str, data: list[str] = PAIR) -> DictConfig:
        paths = [f"paths.run_folder={tmp_path}", f"paths.output_root={tmp_path}", f"data.cache_dir={tmp_path}/cache"]
        config = compose_config("train", [*TINY, "loss=srntt_l2", *data, *paths, *overrides])
        check_config(config)
        return config

    return composed


class Batches(pl.Callback):
    """Keeps every batch as the network saw it, by wrapping the stages."""

    def __init__(self) -> None:
        self.prepared: list[dict[str, Any]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        def keep(_stages: Any, _inputs: Any, batch: dict[str, Any]) -> None:
            self.prepared.append(batch)

        pl_module.stages.register_forward_hook(keep)


def fit(
    config: DictConfig, callbacks: list[Any] | None = None, resume: Path | None = None, **options: Any
) -> tuple[Training, Rows]:
    run = build(config)
    rows = Rows()
    trainer = pl.Trainer(
        **{"accelerator": "cpu", "max_steps": config.trainer.max_steps, "log_every_n_steps": 1, **options},
        logger=rows,
        callbacks=callbacks or [],
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoints) for callback in callbacks or []),
    )
    trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=resume, weights_only=True)
    return run.module, rows


def test_reconstruction_only_trains_one_network(compose: Callable[..., DictConfig]) -> None:
    module, rows = fit(compose("trainer.max_steps=4"))
    assert type(module.recipe) is Supervised
    assert sorted(rows.rows) == [1, 2, 3, 4]
    assert {"train/loss", "train/learning_rate"} < set(rows.rows[4])
    assert not any("adversarial" in name for name in rows.rows[4])


def test_maps_are_those_of_the_references(compose: Callable[..., DictConfig]) -> None:
    batches = Batches()
    module, _ = fit(compose(), [batches])
    assert module.stages.matching is not None
    first = batches.prepared[0]
    assert {name: maps.shape for name, maps in first["maps"].items()} == {
        "relu3_1": (2, 256, 8, 8),
        "relu2_1": (2, 128, 16, 16),
        "relu1_1": (2, 64, 32, 32),
    }
    assert first["similarity"].shape == (2, 1, 8, 8)
    refs = [[ref.float() / 255 for ref in refs] for refs in first["ref"]]
    maps, similarity = module.stages.matching(first["lr"], refs)
    assert same(maps, first["maps"])
    assert torch.equal(similarity, first["similarity"])
    swapped, _ = module.stages.matching(first["lr"], refs[::-1])
    assert not torch.equal(swapped["relu1_1"], maps["relu1_1"])


def test_data_without_references_means_self_reference(compose: Callable[..., DictConfig]) -> None:
    batches = Batches()
    module, _ = fit(compose("data.crop_size=48", data=["data=sample"]), [batches])
    assert "ref" not in batches.prepared[0]
    assert module.stages.matching is not None
    lr = batches.prepared[0]["lr"]
    maps, _ = module.stages.matching(lr, [[]] * len(lr))
    assert same(maps, batches.prepared[0]["maps"])


def test_reconstruction_alone_then_all_losses(compose: Callable[..., DictConfig]) -> None:
    config = compose(*GAME, "loss.adversarial.pretrain_steps=2", "trainer.max_steps=4", "data.crop_size=64")
    module, rows = fit(config)
    assert isinstance(module.recipe, Adversarial)
    assert "train/warm_up" in rows.rows[2]
    assert "train/d_loss" not in rows.rows[2]
    assert {"train/perceptual", "train/texture", "train/adversarial", "train/d_loss"} < set(rows.rows[3])
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows.rows.values())


def test_true_maps_every_other_update(compose: Callable[..., DictConfig]) -> None:
    batches = Batches()
    module, _ = fit(compose("matching.truth_every=2", "trainer.max_steps=4"), [batches])
    assert module.stages.matching is not None
    for step, batch in enumerate(batches.prepared, start=1):
        truth, ones = module.stages.matching.truth(batch["hr"])
        assert same(truth, batch["maps"]) == (step % 2 == 0)
        assert torch.equal(ones, batch["similarity"]) == (step % 2 == 0)


def test_true_maps_are_for_training_only(compose: Callable[..., DictConfig]) -> None:
    run = build(compose("matching.truth_every=2"))
    hr = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    batch = {"hr": hr, "key": torch.zeros(1, dtype=torch.long)}
    assert torch.equal(run.module.train().stages(batch, 1)["similarity"], torch.ones(1, 1, 16, 16))
    assert not torch.equal(run.module.eval().stages(batch, 1)["similarity"], torch.ones(1, 1, 16, 16))


@pytest.mark.parametrize("loss", [["loss=srntt_l2"], [*GAME, "loss.adversarial.pretrain_steps=2", "data.crop_size=64"]])
def test_resume_is_exact(loss: list[str], compose: Callable[..., DictConfig], tmp_path: Path) -> None:
    given = [*loss, "trainer.max_steps=6", "ema_decay=0.9", "matching.truth_every=2"]
    whole, _ = fit(compose(*given), [Checkpoints(str(tmp_path / "whole"), every=6)])
    fit(compose(*given), [Checkpoints(str(tmp_path / "half"), every=3)], max_steps=3)
    resumed, _ = fit(compose(*given), resume=tmp_path / "half" / "last.ckpt")
    assert same(copy_of(whole), copy_of(resumed))


def test_mixed_precision_matches_in_full(compose: Callable[..., DictConfig]) -> None:
    batches = Batches()
    module, rows = fit(compose("trainer.max_steps=1"), [batches], precision="bf16-mixed")
    assert module.stages.matching is not None
    first = batches.prepared[0]
    assert first["maps"]["relu1_1"].dtype == torch.float32
    refs = [[ref.float() / 255 for ref in refs] for refs in first["ref"]]
    assert same(module.stages.matching(first["lr"], refs)[0], first["maps"])
    assert torch.isfinite(torch.tensor(rows.rows[1]["train/loss"]))


def test_accumulated_parts_keep_their_references(compose: Callable[..., DictConfig]) -> None:
    whole, parts = Batches(), Batches()
    fit(compose("data.batch_size=2", "trainer.max_steps=1"), [whole])
    fit(compose("data.batch_size=1", "trainer.accumulate_grad_batches=2", "trainer.max_steps=1"), [parts])
    together = torch.cat([part["maps"]["relu1_1"] for part in parts.prepared])
    assert torch.allclose(together, whole.prepared[0]["maps"]["relu1_1"], atol=1e-5)


def refusal(config: DictConfig) -> str:
    """What a person is told when the parts of a run cannot be made."""
    with pytest.raises((UserError, InstantiationException)) as caught:
        build(config)
    return str(find_user_error(caught.value))


def test_frozen_content_needs_a_trained_one(compose: Callable[..., DictConfig], tmp_path: Path) -> None:
    assert "init_from=RUN" in refusal(compose("model.freeze_content=true"))
    content = ["model=srntt_content", "model.features=8", "model.blocks=1", "loss=l1", "data=sample"]
    tiny = [key for key in TINY if not key.startswith("model")]
    paths = [f"paths.run_folder={tmp_path}", f"data.cache_dir={tmp_path}/cache"]
    config = compose_config("train", [*tiny, *content, *paths])
    trained, _ = fit(config, [Checkpoints(str(tmp_path / "content" / "checkpoints"), every=3)])
    start = compose("model.freeze_content=true", f"init_from={tmp_path}/content/checkpoints/last.ckpt", "ema_decay=0.9")
    module, _ = fit(start)
    moved = copy_of(module.recipe.player.network)
    before = copy_of(trained.recipe.player.network)
    kept = [name for name in moved if name.startswith("content.")]
    assert kept
    assert [name for name in kept if not torch.equal(moved[name], before[name])] == []
    assert not same(moved, copy_of(build(start).module.recipe.player.network))


def test_network_and_matching_belong_together(compose: Callable[..., DictConfig]) -> None:
    assert "matching=vgg19" in refusal(compose("~matching"))
    plain = compose_config("train", ["model=espcn", "matching=vgg19", "feature_network.weights=random", "logger=none"])
    assert "~matching" in refusal(plain)
