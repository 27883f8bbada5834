"""Numbers out of range are refused, by their key, before anything runs; shipped configs are within all ranges."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import options_of
from sr_experiments.app.ranges import check_choices, check_ranges
from sr_experiments.data.photos import hr_folder
from sr_experiments.errors import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps=0 must be at least 1."),
        ("seed=-1", "seed=-1 must be from 0 to 4294967295."),
        ("seed=100000000000000000000", "seed=100000000000000000000 must be from 0"),
        ("model.features=0", "model.features=0 must be at least 1."),
        ("model.blocks=-1", "model.blocks=-1 must be at least 0."),
        ("trainer.gradient_clip_val=-1", "must be more than 0; null: gradients are not clipped"),
        ("trainer.gradient_clip_val=0", "must be more than 0; null"),
        ("loss.terms.l1.weight=-1", "loss.terms.l1.weight=-1 must be at least 0: a negative weight would maximise"),
        ("loss.terms.l1.weight=nan", "loss.terms.l1.weight=nan must be at least 0"),
        ("trainer.limit_test_batches=0", "data.sets=[] trains without a test"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate=nan must be at least 0"),
    ],
)
def test_a_number_out_of_range_is_named(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_ranges(compose_config("train", [override]))
    assert message in str(error.value)


def test_lists_of_a_model_are_looked_at() -> None:
    with pytest.raises(UserError, match=r"model.features\[1\]=0 must be at least 1"):
        check_ranges(compose_config("train", ["model=srcnn", "model.features=[64,0]"]))


@pytest.mark.parametrize("group", ["model", "loss", "block"])
def test_shipped_options_are_within_the_ranges(group: str) -> None:
    for file in options_of(group):
        model = ["model=edsr_baseline"] if group == "block" else []
        check_ranges(compose_config("train", [*model, f"{group}={file.stem}"]))


def test_two_options_of_one_part_are_refused() -> None:
    config = OmegaConf.create({"model": {"_target_": "x"}, "callbacks": {"a": {"_target_": "y"}}})
    check_choices(["callbacks=[default,pruning]", "model=edsr", "data.sets=[a,b]", "unknown=[a,b]"], config)
    with pytest.raises(UserError, match=r"model=\[srresnet,edsr\] would merge .* with -m model=srresnet,edsr"):
        check_choices(["model=[srresnet,edsr]"], config)


def test_an_empty_folder_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for named in ("", ["", "."]):
        with pytest.raises(UserError, match="is a variable of the shell empty"):
            hr_folder(named)
