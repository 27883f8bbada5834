"""Real trainings of seconds against tiny discriminators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config
from sr_experiments.callbacks.checkpoints import Checkpoints
from sr_experiments.errors import UserError
from sr_experiments.training.critic import Critic
from sr_experiments.training.module import Training
from sr_experiments.training.recipes.adversarial import Adversarial
from sr_experiments.training.recipes.supervised import Supervised

TINY = [
    "model=espcn",
    "loss=srgan_mse",
    "loss.adversarial.discriminator.channels=4",
    "loss.adversarial.discriminator.hidden=8",
    "optimizer.learning_rate=1e-3",
    "data.crop_size=32",
    "data.batch_size=4",
    "data.num_workers=0",
    "data.sets=[]",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.max_steps=3",
]


pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start", "ignore:.*lr_scheduler.step.*before")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., DictConfig]:
    def composed(*overrides: str) -> DictConfig:
        paths = [f"paths.run_folder={tmp_path}", f"paths.output_root={tmp_path}", f"data.cache_dir={tmp_path}/cache"]
        return compose_config("train", [*TINY, *paths, *overrides])

    return composed


class Rows(pl.loggers.logger.DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:  # type: ignore[override]
        self.rows.setdefault(int(step or 0), {}).update(metrics)


def build(config: DictConfig) -> tuple[Training, Any]:
    pl.seed_everything(config.seed, verbose=False)
    data = instantiate(config.data)
    return instantiate(config.training), data


def fit(config: DictConfig, callbacks: list[Any] | None = None, **options: Any) -> tuple[Training, Rows]:
    module, data = build(config)
    rows = Rows()
    resume = options.pop("resume", None)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=config.trainer.max_steps,
        log_every_n_steps=1,
        logger=rows,
        callbacks=callbacks or [],
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoints) for callback in callbacks or []),
        **options,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return module, rows


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def copy_of(module: torch.nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


class Probe(pl.Callback):
    """Looks at the module before and after each update."""

    def __init__(self) -> None:
        self.changed: list[tuple[bool, bool]] = []
        self.steps: list[int] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        self.before = tuple(copy_of(player.network) for player in pl_module.recipe.players())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        generator, discriminator = (player.network for player in pl_module.recipe.players())
        after = copy_of(generator), copy_of(discriminator)
        self.changed.append(tuple(not same(*pair) for pair in zip(self.before, after, strict=True)))  # type: ignore[arg-type]
        self.steps.append(trainer.global_step)
        assert all(p.grad is None and not p.requires_grad for p in discriminator.parameters())
        assert all(p.requires_grad for p in generator.parameters())


def test_steps_are_generator_updates(compose: Callable[..., DictConfig]) -> None:
    probe = Probe()
    config = compose(
        "trainer.max_steps=10", "loss.adversarial.discriminator_steps=2", "scheduler=step", "scheduler.every=4"
    )
    _, rows = fit(config, [probe])
    assert probe.steps == list(range(1, 11))
    assert probe.changed == [(True, True)] * 10
    assert sorted(rows.rows) == list(range(1, 11))
    assert rows.rows[10]["train/learning_rate"] == pytest.approx(2.5e-4)
    assert rows.rows[10]["train/d_learning_rate"] == pytest.approx(2.5e-4)
    for name in ("d_loss", "d_real", "d_fake", "d_accuracy_real", "gradient_norm", "d_gradient_norm", "adversarial"):
        assert f"train/{name}" in rows.rows[10]


class Watched(Critic):
    """Notes what each of the two updates changes."""

    def update(self, shown: Any, play: Any) -> Any:
        before = copy_of(self.player.network), copy_of(self.generator.network)
        assert same(self.before[1], before[0])
        assert not same(self.before[0], before[1])
        assert all(p.grad is None for p in self.player.parameters())
        gradients = [p.grad.clone() for p in self.generator.parameters()]
        values = super().update(shown, play)
        assert not same(before[0], copy_of(self.player.network))
        assert same(before[1], copy_of(self.generator.network))
        assert all(torch.equal(p.grad, g) for p, g in zip(self.generator.parameters(), gradients, strict=True))
        return values


class Phases(Adversarial):
    """Has a watched critic."""

    def update(self, parts: Any, play: Any) -> Any:
        self.critic.__class__ = Watched
        object.__setattr__(self.critic, "generator", self.player)
        object.__setattr__(self.critic, "before", [copy_of(player.network) for player in self.players()])
        return super().update(parts, play)


@pytest.mark.parametrize(
    ("discriminator", "objective", "more"),
    [
        ("srgan", "vanilla", ["loss.adversarial.r1=10"]),
        ("srgan_pooled", "lsgan", []),
        ("enhancenet", "wgan_gp", ["loss.adversarial.discriminator_steps=2"]),
        ("esrgan", "ragan", ["trainer.accumulate_grad_batches=2"]),
        ("patchgan", "hinge", []),
        ("unet_sn", "ragan", ["loss.adversarial.r1=1"]),
    ],
)
def test_each_player_changes_only_itself(
    compose: Callable[..., DictConfig], discriminator: str, objective: str, more: list[str]
) -> None:
    hidden = "~loss.adversarial.discriminator.hidden" if discriminator in ("patchgan", "unet_sn") else None
    overrides = [
        f"discriminator@loss.adversarial.discriminator={discriminator}",
        f"objective@loss.adversarial.objective={objective}",
        "trainer.max_steps=2",
        *more,
    ]
    tiny = [item for item in TINY if not (hidden and item.startswith("loss.adversarial.discriminator.hidden"))]
    config = compose_config("train", [*tiny, *overrides])
    config.training.recipe._target_ = f"{__name__}.Phases"
    _, rows = fit(config)
    assert len(rows.rows) == 2
    assert ("train/d_penalty" in rows.rows[1]) == (objective == "wgan_gp" or any("r1" in item for item in more))


def saver(folder: Path) -> Checkpoints:
    return Checkpoints(str(folder), every=3)


@pytest.mark.parametrize(
    "more",
    [
        ["ema_decay=0.9", "loss.adversarial.balance=0.9"],
        ["discriminator@loss.adversarial.discriminator=enhancenet", "objective@loss.adversarial.objective=wgan_gp"],
        ["scheduler=constant", "trainer.accumulate_grad_batches=2", "loss.adversarial.discriminator.norm=spectral"],
    ],
)
def test_resume_is_exact(compose: Callable[..., DictConfig], tmp_path: Path, more: list[str]) -> None:
    more = [*more, "scheduler=step"] if not any("scheduler" in item for item in more) else more
    whole, whole_rows = fit(compose("trainer.max_steps=6", *more), [saver(tmp_path / "whole")])
    fit(compose("trainer.max_steps=3", *more), [saver(tmp_path / "half")])
    resumed, rows = fit(
        compose("trainer.max_steps=6", *more), [saver(tmp_path / "rest")], resume=tmp_path / "half" / "last.ckpt"
    )
    assert same(copy_of(whole), copy_of(resumed))
    assert sorted(rows.rows) == [4, 5, 6]
    assert {step: whole_rows.rows[step] for step in rows.rows} == rows.rows
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "rest")]
    for first, second in zip(*(state["optimizer_states"] for state in states), strict=True):
        assert all(same(first["state"][index], second["state"][index]) for index in first["state"])


def test_delayed_start_ramp_and_warm_start(compose: Callable[..., DictConfig]) -> None:
    probe = Probe()
    config = compose(
        "loss.adversarial.pretrain_steps=1", "loss.adversarial.start=2", "loss.adversarial.ramp=2",
        "trainer.max_steps=5",
    )  # fmt: skip
    _, rows = fit(config, [probe])
    assert probe.changed == [(True, False)] * 2 + [(True, True)] * 3
    assert "train/mse" not in rows.rows[1]
    assert "train/adversarial" not in rows.rows[2]
    assert "train/adversarial" not in rows.rows[3]
    for step, weight in ((4, 0.5e-3), (5, 1e-3)):
        row = rows.rows[step]
        assert row["train/loss"] == pytest.approx(4 * row["train/mse"] + weight * row["train/adversarial"], rel=1e-4)


def test_balance_rests_the_discriminator(compose: Callable[..., DictConfig]) -> None:
    # A threshold that any accuracy above 0 meets: the discriminator learns once, and again only when it is all wrong.
    probe = Probe()
    _, rows = fit(compose("loss.adversarial.balance=0.01", "trainer.max_steps=6"), [probe])
    accuracies = [min(rows.rows[s][f"train/d_accuracy_{kind}"] for kind in ("real", "fake")) for s in range(1, 7)]
    expected = [True, *(accuracy < 0.01 for accuracy in accuracies[:-1])]
    assert [changed for _, changed in probe.changed] == expected
    assert [rows.rows[step]["train/d_updated"] for step in range(1, 7)] == [float(flag) for flag in expected]
    assert not all(expected)


@pytest.mark.parametrize("precision", ["bf16-mixed"])
def test_half_precision_clipping_and_accumulation(compose: Callable[..., DictConfig], precision: str) -> None:
    config = compose("trainer.gradient_clip_val=1e-6", "trainer.accumulate_grad_batches=2", "optimizer.eps=1e-3")
    config.training.recipe.discriminator_optimizer.eps = 1e-3
    pl.seed_everything(config.seed, verbose=False)
    start = copy_of(instantiate(config.training))
    module, rows = fit(config, precision=precision)
    # Adam with an epsilon far above the clipped gradients moves hardly at all.
    moved = max(
        (value - start[name]).abs().max() for name, value in copy_of(module).items() if value.is_floating_point()
    )
    assert 0 < moved < 1e-4
    assert rows.rows[3]["train/gradient_norm"] > 1e-6


def test_accumulated_parts_make_the_gradient_of_the_whole(compose: Callable[..., DictConfig]) -> None:
    whole = ["data.batch_size=4", "loss.adversarial.discriminator.norm=none", "trainer.max_steps=1"]
    parts = ["data.batch_size=2", "trainer.accumulate_grad_batches=2", *whole[1:]]
    first, second = (copy_of(fit(compose(*more))[0]) for more in (whole, parts))
    for name in first:
        assert torch.allclose(first[name].float(), second[name].float(), atol=1e-5), name


class BrokenCritic(Critic):
    """Has a loss that is not finite at the second step."""

    def _judge(self, part: Any, play: Any) -> Any:
        loss, terms = super()._judge(part, play)
        return (loss * float("nan") if play.step == 1 else loss), terms


class Broken(Adversarial):
    """Has a broken critic."""

    def update(self, parts: Any, play: Any) -> Any:
        self.critic.__class__ = BrokenCritic
        return super().update(parts, play)


def test_a_loss_of_the_discriminator_that_is_not_finite(compose: Callable[..., DictConfig]) -> None:
    config = compose()
    config.training.recipe._target_ = f"{__name__}.Broken"
    with pytest.raises(UserError, match="At step 2 the d_loss is not finite"):
        fit(config)
    config.on_nonfinite = "skip"
    probe = Probe()
    module, _ = fit(config, [probe])
    assert probe.changed == [(True, True), (True, False), (True, True)]
    assert int(module.skipped_updates) == 1


def test_an_ordinary_loss_builds_no_discriminator(compose: Callable[..., DictConfig]) -> None:
    tiny = [item for item in TINY if not item.startswith("loss")]
    config = compose_config("train", tiny)
    module, _ = build(config)
    assert type(module.recipe) is Supervised
    assert "game" not in config.callbacks
    with pytest.raises(Exception, match="needs a loss with an adversarial part"):
        instantiate(compose_config("train", [*tiny, "training=adversarial"]).training)
    with pytest.raises(Exception, match="no use for the adversarial part"):
        instantiate(compose("training=supervised").training)


def test_bad_input(compose: Callable[..., DictConfig]) -> None:
    for overrides, message in (
        (["loss.adversarial.discriminator=null"], "has no discriminator: choose one"),
        (["loss.adversarial.objective=null"], "has no objective: choose one"),
        (["loss.adversarial.balance=2"], "must lie in"),
        (["loss.adversarial.r1=0"], "must be positive"),
        (["loss.adversarial.weight=-1"], "must not be negative"),
        (["loss.adversarial.discriminator_steps=0"], "must be at least 1"),
        (["data.crop_size=12"], "set data.crop_size=16"),
        (["loss.adversarial.discriminator.norm=layer"], "norm=layer"),
    ):
        tiny = [
            item
            for item in TINY
            if not (overrides == ["loss.adversarial.discriminator=null"] and "discriminator." in item)
        ]
        with pytest.raises(Exception, match=message):
            instantiate(compose_config("train", [*tiny, *overrides]).training)
    misspelt = compose("+training.recipe.discriminator_optimiser=1")
    with pytest.raises(UserError, match=r"no key training\.recipe\.discriminator_optimiser.*Did you mean"):
        check_config(misspelt)


def test_the_options_of_the_base_are_known(compose: Callable[..., DictConfig]) -> None:
    check_config(compose())


def test_crops_of_another_size_are_refused(compose: Callable[..., DictConfig]) -> None:
    with pytest.raises(UserError, match="built for crops of 48, but got 32x32"):
        fit(compose("loss.adversarial.discriminator.crop_size=48"))


def test_variants_keep_their_overrides(compose: Callable[..., DictConfig]) -> None:
    config = compose(
        "optimizer@training.recipe.discriminator_optimizer=adamw",
        "training.recipe.discriminator_optimizer.learning_rate=5e-5",
    )
    assert config.training.recipe.discriminator_optimizer.type == "AdamW"
    assert config.optimizer.learning_rate == 1e-3
    _, rows = fit(config)
    assert rows.rows[1]["train/d_learning_rate"] == pytest.approx(5e-5, rel=0.5)
