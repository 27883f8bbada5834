"""Several enlargements in one training: draws, windows, real trainings, and two processes."""

from __future__ import annotations

import csv
import inspect
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build
from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, LRConsistency, WeightedSum
from sr_experiments.models.carn import CARN
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.ms_lapsrn import MSLapSRN
from sr_experiments.models.vdsr import VDSR
from sr_experiments.shipped import conf_dir
from sr_experiments.training.stages.scales import SeveralScales
from sr_experiments.upsamplers import Interpolation, SubPixel, Transposed
from tests.harness import run, train
from tests.runs.test_resume import same
from tests.training.parts import stages, supervised


def several(scales: tuple[float, ...] = (2, 3, 4), crop_size: int = 24, seed: int = 1) -> SeveralScales:
    return SeveralScales(scales, [Bicubic(scale) for scale in scales], seed, crop_size)


def test_seed_and_step_decide() -> None:
    draws = [several().draw(step, 24) for step in range(300)]
    assert draws == [several().draw(step, 24) for step in range(300)]
    assert draws != [several(seed=2).draw(step, 24) for step in range(300)]
    counts = Counter(index for index, _, _ in draws)
    assert all(70 < counts[index] < 130 for index in range(3))
    # A window of 12 pixels finds 13 places a side in a crop of 24; one of 24 has one.
    assert {top for index, top, _ in draws if index == 0} == set(range(13))
    assert {left for index, _, left in draws if index == 0} == set(range(13))
    assert {(top, left) for index, top, left in draws if index == 2} == {(0, 0)}


def test_lr_has_one_size_and_belongs_to_its_window() -> None:
    scales, hr = several(), torch.rand(2, 3, 24, 24)
    for step in range(20):
        index, top, left = scales.draw(step, 24)
        scale = (2, 3, 4)[index]
        made = scales({"hr": hr}, step)
        assert made["scale"] == scale
        assert torch.equal(made["hr"], hr[:, :, top : top + 6 * scale, left : left + 6 * scale])
        assert made["lr"].shape == (2, 3, 6, 6)
        assert torch.equal(made["lr"], Bicubic(scale)(made["hr"]))


def test_real_scales_of_meta_rdn_fit_the_crops_of_its_recipe() -> None:
    config = compose_config("train", ["experiment=meta_rdn", "data.train.hr=x"])
    listed = [number / 10 for number in range(11, 41)]
    assert list(config.scales) == listed
    scales = several(tuple(listed), config.data.crop_size)
    assert scales.lr_size == 50
    hr, met = torch.rand(1, 1, 200, 200), set()
    for step in range(200):
        made = scales({"hr": hr}, step)
        assert made["lr"].shape[-2:] == (50, 50)
        assert made["hr"].shape[-1] == round(50 * made["scale"])
        met.add(made["scale"])
    assert met == set(listed)  # among them 2.3 and 3.9, where HR / scale is a little more than 50


def edsr(scale: int) -> nn.Module:
    return EDSR(scale, SubPixel, features=4, blocks=1)


def carn(scale: int) -> nn.Module:
    return CARN(scale, SubPixel, features=4, blocks=1, scales=(2, 3, 4))


@pytest.mark.parametrize(
    ("network", "scales", "scale", "message"),
    [
        (edsr(4), (2, 4), 4, r"EDSR has one enlargement, so that scales=\[2,4\] .* scales=null, or choose model=carn"),
        (carn(4), (2, 8), 2, r"CARN is built for model.scales=\[2, 3, 4\], without scale=8: add it there"),
        (carn(4), (2, 3), 4, r"scale=4, at which is validated and tested, is not among scales=\[2,3\]"),
        (MSLapSRN(4, Transposed, features=4), (3, 4), 4, r"MSLapSRN cannot enlarge by 3 of .*: use 2, 4, 8\."),
        (VDSR(4, Interpolation, features=4, layers=2), (2.5, 4), 4, "VDSR enlarges by whole numbers, not by 2.5"),
    ],
)
def test_networks_that_cannot_are_refused(
    network: nn.Module, scales: tuple[float, ...], scale: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        supervised(network, Bicubic(scale), scales=several(scales, 40))


def test_what_belongs_to_one_scale_is_refused() -> None:
    with pytest.raises(UserError, match=r"scales=\[4\] must be several"):
        several((4,))
    with pytest.raises(UserError, match=r"data.crop_size=30 gives LR crops of 12 pixels, which scale=2\.1 makes 25\.2"):
        several((2.1, 2.5), 30)
    terms = {"cycle": {"weight": 1, "term": LRConsistency(Bicubic(4))}, "l1": {"weight": 1, "term": L1()}}
    with pytest.raises(UserError, match="The loss term cycle shrinks by one scale"):
        supervised(carn(4), Bicubic(4), WeightedSum(terms), scales=several())


@pytest.mark.parametrize("scales", ["3", "[2,2,4]"])
def test_scales_that_are_no_list_of_different_numbers_are_refused(scales: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"scales=.* must be a list of different numbers, as \[2,3,4\], or null"):
        build(compose_config("train", ["model=carn", f"scales={scales}", f"paths.run_folder={tmp_path}"]))


def test_pairs_of_one_scale_are_refused() -> None:
    prepare = stages(Bicubic(4), scales=several())
    pair = {"hr": torch.zeros(1, 3, 24, 24, dtype=torch.uint8), "lr": torch.zeros(1, 3, 6, 6, dtype=torch.uint8)}
    with pytest.raises(UserError, match="LR images of one scale cannot train several: set scales=null"):
        prepare(pair, 0)
    assert prepare.eval()(pair, 0)["lr"].shape == (1, 3, 6, 6)  # they can be evaluated on


def test_the_refusal_names_all_networks_of_several_scales() -> None:
    files = (conf_dir() / "model").glob("*.yaml")
    kinds = {file.stem: get_class(OmegaConf.load(file)["_target_"]) for file in files}
    taking = [model for model, kind in sorted(kinds.items()) if "scale" in inspect.signature(kind.forward).parameters]
    with pytest.raises(UserError, match="has one enlargement") as caught:
        supervised(edsr(4), Bicubic(4), WeightedSum({"l1": {"weight": 1, "term": L1()}}), scales=several())
    assert f"choose model={' | '.join(taking)}." in str(caught.value)
    assert {"carn", "carn_m", "vdsr"} <= set(taking)


@pytest.mark.parametrize("kind", ["vdsr", "drrn", "memnet", "ms_lapsrn"])
def test_the_same_weights_at_another_scale(kind: str) -> None:
    """Asked for a scale, a network does what one that is built for it does."""
    configs = [compose_config("train", [f"model={kind}", f"scale={scale}", "model.features=4"]) for scale in (2, 4)]
    two, four = (instantiate(config.model).eval() for config in configs)
    four.load_state_dict(two.state_dict())
    lr = torch.rand(1, 3, 6, 7)
    assert torch.equal(two(lr, 4), four(lr))
    assert torch.equal(two(lr), four(lr, 2))


SIZES = {
    "mdsr": ["model.features=4", "model.blocks=1"],
    "carn": ["model.features=4", "model.blocks=1"],
    "prosr": ["model.features=4", "model.growth=2", "model.levels=[[1],[1]]", "model.scales=[2,4]", "scales=[2,4]"],
    "memnet": ["model.features=4", "model.blocks=2", "model.recursions=1", "loss=memnet"],
    "ms_lapsrn": ["model.features=4", "model.depth=1", "model.recursions=1", "loss=lapsrn", "scales=[2,4]"],
    "meta_rdn": ["model.features=4", "model.blocks=1", "model.layers=1", "model.growth=2", "scales=[1.5,2.5,4]"],
}
LOGGED = ["logger=csv", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu"]
RUN = ["data.crop_size=24", "data.batch_size=4", "data.num_workers=0", "trainer.max_steps=6", "data.sets=[]"]


def options(model: str) -> list[str]:
    return [f"model={model}", "scales=[2,3,4]", *RUN, *SIZES[model]]


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").open()))


def fit(folder: Path, *overrides: str, resume: Path | None = None) -> Any:
    torch.set_num_threads(1)
    paths = [f"paths.run_folder={folder}", f"paths.output_root={folder}", f"paths.cache_dir={folder.parent}/cache"]
    quiet = ["logger=csv", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    made = build(compose_config("train", [*overrides, *paths, *quiet]), resume=resume)
    made.fit(resume)
    made.close()
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("model", SIZES)
def test_trains_at_the_scale_of_the_step(model: str, tmp_path: Path) -> None:
    made = fit(tmp_path / "run", *options(model))
    scales = made.module.stages["scales"]
    drawn = [scales.scales[scales.draw(step, 24)[0]] for step in range(6)]
    rows = rows_of(tmp_path / "run")
    assert [float(row["train/scale"]) for row in rows] == drawn
    assert len(set(drawn)) > 1
    assert all(float(row["train/loss"]) > 0 for row in rows)
    moments = made.module.recipe.player.optimizer.state
    for name, parameter in made.module.recipe.player.network.named_parameters():
        of = name.split(".x")[1][0] if ".x" in name else None
        if of is not None and float(of) not in drawn:
            assert parameter not in moments, f"{name} belongs to a scale that was never drawn"
        elif of is not None:
            # Adam counts a head's own updates.
            assert moments[parameter]["step"] == drawn.count(int(of)), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_three_updates_and_three_are_six(tmp_path: Path) -> None:
    more = [*options("carn"), "scheduler=constant", "callbacks.checkpoints.every=3"]
    whole = fit(tmp_path / "whole", *more)
    fit(tmp_path / "half", *more, "trainer.max_steps=3")
    resumed = fit(tmp_path / "rest", *more, resume=tmp_path / "half" / "checkpoints" / "last.ckpt")
    same(dict(whole.module.state_dict()), dict(resumed.module.state_dict()))
    rows, rest = rows_of(tmp_path / "whole"), rows_of(tmp_path / "rest")
    assert [row["train/loss"] for row in rest] == [row["train/loss"] for row in rows[3:]]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "scales"), [("mdsr", "null"), ("prosr", "null"), ("carn", "[2,4]")])
def test_two_processes_train_as_one(model: str, scales: str, tmp_path: Path) -> None:
    """With several heads, of which an update has one: the same one, or that of its own scale."""
    common = [f"model={model}", *RUN, *SIZES[model], "model.scales=[2,4]", f"scales={scales}", "optimizer.eps=1e-3"]
    for name, extra in (("one", []), ("two", ["trainer=ddp_cpu"])):
        done = run("train", *common, *LOGGED, *extra, f"hydra.run.dir={tmp_path / name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two = (rows_of(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 6
    for row, other in zip(one, two, strict=True):
        assert float(other["train/loss"]) == pytest.approx(float(row["train/loss"]), rel=1e-4)
        if scales != "null":
            assert other["train/scale"] == row["train/scale"]


@pytest.mark.slow
def test_the_command_line_says_what_cannot_be_before_it_begins(tmp_path: Path) -> None:
    done = train(tmp_path / "run", "scales=[2,4]", *RUN)
    assert done.returncode != 0
    assert "SmallResNet has one enlargement, so that scales=[2,4] cannot be trained in one network" in done.stderr
    assert not (tmp_path / "run" / "metrics.csv").exists()


@pytest.mark.slow
def test_one_checkpoint_is_scored_at_each_of_its_scales(tmp_path: Path) -> None:
    done = run("train", *options("carn"), *LOGGED, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = {}
    for scale in (2, 3):
        folder = tmp_path / f"x{scale}"
        common = [f"checkpoint={tmp_path / 'run'}", "data=sample", f"scale={scale}", "trainer.accelerator=cpu"]
        done = run("eval", *common, "data.num_workers=0", f"hydra.run.dir={folder}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        results = json.loads((folder / "results.json").read_text())
        assert results["scale"] == scale
        assert results["protocol"]["border"] == scale
        scores[scale] = results["test"]["sample"]["bicubic"]["psnr"]
    assert scores[2] > scores[3] + 1  # bicubic, from LR images of either scale
    done = run("eval", f"checkpoint={tmp_path / 'run'}", "data=sample", "scale=8", cwd=tmp_path)
    assert "CARN is built for model.scales=[2, 3, 4], without scale=8" in done.stderr
