"""Real trainings of seconds on the images that networks make on their way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import get_class, get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, RecursiveSupervision, WeightedSum
from sr_experiments.models.drcn import DRCN
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.which import models_that
from sr_experiments.shipped import conf_dir
from sr_experiments.upsamplers import SubPixel
from tests.runs.test_resume import same
from tests.training.parts import supervised
from tests.training.test_adversarial import Rows

TINY = [
    "data.crop_size=16",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.sets=[]",
    "optimizer.learning_rate=1e-4",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.max_steps=6",
]

SIZES = {
    "drcn": ["model.features=4", "model.recursions=3"],
    "memnet": ["model.features=4", "model.blocks=2", "model.recursions=2"],
    "lapsrn": ["model.features=4", "model.depth=1"],
    "ms_lapsrn": ["model.features=4", "model.depth=1", "model.recursions=2"],
    "dbpn": ["model.features=4", "model.extracted=4", "model.stages=2"],
    "dsrn": ["model.features=4", "model.steps=3"],
}
LOSSES = {"ms_lapsrn": "lapsrn", "dbpn": "l1_outputs", "dsrn": "l1_outputs"}

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


def chosen(model: str) -> list[str]:
    return [f"model={model}", f"loss={LOSSES.get(model, model)}", *SIZES[model]]


def fit(config: DictConfig, steps: int, resume: Path | None = None) -> tuple[pl.Trainer, Any, Rows]:
    pl.seed_everything(config.seed, verbose=False)
    data, module, rows = instantiate(config.data), instantiate(config.training), Rows()
    options: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, log_every_n_steps=1, logger=rows, enable_checkpointing=False,
        use_distributed_sampler=False, **options,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer, module, rows


@pytest.mark.parametrize("model", SIZES)
def test_learns_from_every_image_with_one_forward(
    model: str, compose: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*chosen(model))
    kind = get_class(config.model._target_)
    calls, seen = [], []
    original = kind.outputs

    def outputs(network: nn.Module, lr: Tensor) -> list[Tensor]:
        images = original(network, lr)
        calls.append(len(images))
        for image in images:
            image.register_hook(lambda gradient: seen.append(float(gradient.abs().sum())))
        return images

    monkeypatch.setattr(kind, "outputs", outputs)
    _, module, rows = fit(config, 2)
    assert len(calls) == 2
    assert calls[0] > 1
    # The weights by which DRCN averages get their first gradient once the share is below 1.
    assert len(seen) == sum(calls)
    assert all(gradient > 0 for gradient in seen[calls[0] :])
    assert rows.rows[2]["train/loss"] > 0
    assert all(torch.isfinite(p).all() for p in module.recipe.player.network.parameters())


@pytest.mark.parametrize("model", ["drcn", "memnet", "lapsrn", "ms_lapsrn"])
def test_the_loss_of_the_paper_falls(model: str, compose: Callable[..., DictConfig]) -> None:
    more = ["data.crop_size=32", "data.augment=false", "optimizer.learning_rate=3e-3", "scheduler=constant"]
    _, _, rows = fit(compose(*chosen(model), *more, "trainer.max_steps=60"), 60)
    losses = [rows.rows[step]["train/loss"] for step in range(1, 61)]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


def test_a_decaying_share_goes_on_where_it_was(compose: Callable[..., DictConfig], tmp_path: Path) -> None:
    """Six updates of DRCN are three and three, bit for bit."""
    config = compose(*chosen("drcn"))
    whole, whole_module, whole_rows = fit(config, 6)
    half, _, _ = fit(config, 3)
    half.save_checkpoint(tmp_path / "half.ckpt")
    _, module, rows = fit(config, 6, tmp_path / "half.ckpt")
    same(dict(whole_module.state_dict()), dict(module.state_dict()))
    assert [rows.rows[step]["train/loss"] for step in (4, 5, 6)] == [
        whole_rows.rows[step]["train/loss"] for step in (4, 5, 6)
    ]
    assert whole.global_step == 6


def test_in_a_game_too(compose: Callable[..., DictConfig]) -> None:
    """DBPN's images on the way beside an adversarial term."""
    part = "sr_experiments.losses"
    term = f"+loss.terms.outputs.term={{_target_:{part}.RecursiveSupervision,term:{{_target_:{part}.L1}}}}"
    game = ["model=dbpn", *SIZES["dbpn"], "loss=srgan_mse", "loss.adversarial.discriminator.channels=4"]
    game += ["data.crop_size=32", "loss.adversarial.discriminator.hidden=8", term]
    game += ["+loss.terms.outputs.weight=1"]
    _, _, rows = fit(compose(*game), 2)
    assert rows.rows[2]["train/outputs"] > 0
    assert "train/adversarial" in rows.rows[2]


def test_a_network_without_such_images_is_refused(compose: Callable[..., DictConfig]) -> None:
    network, degradation = EDSR(4, SubPixel, features=4, blocks=1), Bicubic(4)
    loss = instantiate(compose("loss=drcn").loss)
    with pytest.raises(UserError, match=r"term recursive looks at .* EDSR makes none: .* model=dbpn \| drcn \| dsrn"):
        supervised(network, degradation, loss)
    # A term of weight 0 looks at nothing.
    entries = {"l1": {"weight": 1, "term": L1()}, "off": {"weight": 0, "term": RecursiveSupervision(L1())}}
    assert not supervised(network, degradation, WeightedSum(entries)).recipe.takes_outputs


def test_the_refusal_names_all_networks_that_have_them() -> None:
    targets = {file.stem: OmegaConf.load(file)["_target_"] for file in (conf_dir() / "model").glob("*.yaml")}
    named = [model for model, target in sorted(targets.items()) if hasattr(get_object(target), "outputs")]
    assert models_that(lambda said: said.makes_outputs) == f"model={' | '.join(named)}"


def test_what_training_calls_is_compiled(compose: Callable[..., DictConfig]) -> None:
    compiled = instantiate(compose(*chosen("drcn"), "compile=true").training).recipe.player.network
    assert isinstance(compiled.outputs._torchdynamo_orig_callable.__self__, DRCN)


@pytest.mark.parametrize(("algorithm", "limit"), [("value", 0.01), ("adjusted", 0.01 / 0.5)])
def test_clips_by_value_or_by_what_the_learning_rate_makes_of_it(
    algorithm: str, limit: float, compose: Callable[..., DictConfig]
) -> None:
    clip = ["trainer.gradient_clip_val=0.01", f"trainer.gradient_clip_algorithm={algorithm}"]
    descent = ["optimizer=sgd", "optimizer.learning_rate=0.5", "optimizer.momentum=0", "scheduler=constant"]
    config = compose("loss=euclidean", *descent, *clip)
    pl.seed_everything(config.seed, verbose=False)
    instantiate(config.data)
    start = instantiate(config.training).recipe.player.network.state_dict()
    _, module, _ = fit(config, 1)
    moved = torch.cat(
        [(module.recipe.player.network.state_dict()[name] - value).flatten() for name, value in start.items()]
    ).abs()
    assert moved.max().item() == pytest.approx(0.5 * limit, rel=1e-4)
