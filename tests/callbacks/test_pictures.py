"""Pictures of real trainings: what is written, that it stays little, and that the training does not notice."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import Run, build
from sr_experiments.callbacks.pictures import BestAndWorst, CropsOverTime, spacing
from sr_experiments.data.images import write_png
from sr_experiments.errors import UserError
from tests.harness import TINY, train

RUN = ["trainer.max_steps=9", "trainer.val_check_interval=4", "perceptual=off", "callbacks.crops.every=2"]
RUN += ["scheduler=constant"]  # which does not know how long a run will be


def train_here(folder: Path, *overrides: str, resume: Path | None = None) -> Run:
    """A training and its test in this process."""
    config = compose_config("train", [*TINY, *RUN, f"paths.run_folder={folder}", *overrides])
    run = build(config, resume=resume)
    run.fit(resume)
    run.test(folder)
    return run


def steps_of(folder: Path) -> list[int]:
    return [int(re.findall(r"\d+", file.stem)[0]) for file in sorted((folder / "progress").glob("step_*.png"))]


def test_no_time_has_more_sheets_than_are_kept() -> None:
    for keep in (3, 4, 5, 20):
        there: set[int] = set()
        shown = 0
        for step in range(0, 4000, 7):
            apart = spacing(step, 7, keep)
            if step % apart == 0:
                shown += 1
                there.add(step)
                there = {other for other in there if other == step or other % apart == 0}
            assert len(there | {step}) <= keep
            assert 0 in there
            if len(there) > 1 and step >= 7 * keep:
                assert len(there) > (keep - 2) // 2  # thinned out, not lost
        assert shown <= keep + (keep / 2 + 1) * np.log2(4000 / 7)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "run"
    train_here(folder)
    return folder


def test_a_training_leaves_sheets_from_its_first_to_its_last_step(finished: Path) -> None:
    assert steps_of(finished) == [0, 2, 4, 6, 8, 9]
    sheets = [np.asarray(Image.open(file)) for file in sorted((finished / "progress").glob("step_*.png"))]
    assert len({sheet.shape for sheet in sheets}) == 1
    # Titles apart, only what the network makes of the crops differs, and the error of that: columns 3 and 5 of 5.
    width = sheets[0].shape[1] / 5
    changed = (sheets[0][60:] != sheets[-1][60:]).any(axis=(0, 2))
    shares = [changed[int(column * width) + 12 : int((column + 1) * width) - 12].mean() for column in range(5)]
    assert [share > 0.9 for share in shares] == [False, False, True, False, True]
    assert max(shares[0], shares[1], shares[3]) == 0
    assert (finished / "progress" / "best_and_worst.png").exists()


def test_a_training_with_pictures_is_the_one_without(finished: Path, tmp_path: Path) -> None:
    train_here(tmp_path / "run", "~callbacks.crops", "~callbacks.best_and_worst")
    assert not (tmp_path / "run" / "progress").exists()
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (finished / "metrics.csv").read_bytes()
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (finished, tmp_path / "run")
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_resumed_run_goes_on_with_the_same_pictures(finished: Path, tmp_path: Path) -> None:
    train_here(tmp_path, "trainer.max_steps=5")
    assert steps_of(tmp_path) == [0, 2, 4, 5]
    train_here(tmp_path, resume=tmp_path / "checkpoints" / "last.ckpt")
    # The sheet of step 5 was the last one once; it goes when sheets are thinned out.
    assert steps_of(tmp_path) == [0, 2, 4, 6, 8, 9]
    for step in steps_of(tmp_path):
        name = f"progress/step_{step:08d}.png"
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_old_sheets_are_thinned_out(tmp_path: Path) -> None:
    train_here(tmp_path, "callbacks.crops.every=1", "callbacks.crops.keep=4")
    assert steps_of(tmp_path) == [0, 8, 9]


def test_a_place_that_cannot_be_written_to_costs_the_pictures_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "progress").write_text("a file in the way")
    run = train_here(tmp_path)
    assert run.trainer.global_step == 9
    said = [record.message for record in caplog.records if "No more pictures" in record.message]
    assert len(said) == 2  # one a kind of picture
    assert "cannot write step_00000000.png in" in said[0]


def test_a_training_without_images_has_no_pictures(tmp_path: Path) -> None:
    train_here(tmp_path, "data.sets=[]")
    assert not (tmp_path / "progress").exists()


def test_the_best_and_the_worst_image_are_shown(tmp_path: Path) -> None:
    """Flat images are easy, noise is hard: the sheet has the flattest on top and the wildest below."""
    for name, spread in (("Flat/a", 2), ("Flat/b", 20), ("Noise/a", 255), ("Noise/b", 120)):
        noise = np.random.default_rng(0).integers(0, spread, (48, 48, 3))
        write_png(tmp_path / "sets" / f"{name}.png", noise.astype(np.uint8))
    train_here(
        tmp_path / "run",
        f"data.root={tmp_path / 'sets'}",
        "data.sets=[Flat,Noise]",
        "callbacks.best_and_worst.count=1",
    )
    sheet = np.asarray(Image.open(tmp_path / "run" / "progress" / "best_and_worst.png")).astype(int)
    hr = slice(10 + 3 * 202, 10 + 3 * 202 + 192)  # the fourth column
    flat, noisy = sheet[60 : 60 + 192, hr], sheet[60 + 192 + 30 : 60 + 2 * 192 + 30, hr]
    assert flat.max() < 2
    assert noisy.max() > 200


@pytest.mark.parametrize("option", [{"every": 0}, {"count": 0}, {"size": 8}, {"keep": 2}])
def test_numbers_that_are_too_small_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"at least"):
        CropsOverTime("x", **option)
    if "every" not in option:
        with pytest.raises(UserError, match=r"at least"):
            BestAndWorst("x", **option)


def test_a_metric_that_nobody_measures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"best_and_worst.metric=dists is not measured: choose one of .*psnr, ssim"):
        train_here(tmp_path, "callbacks.best_and_worst.metric=dists")


@pytest.mark.slow
def test_of_two_processes_one_shows_the_same(finished: Path, tmp_path: Path) -> None:
    done = train(tmp_path / "run", *RUN, "trainer=ddp_cpu")
    assert done.returncode == 0, done.stderr
    assert steps_of(tmp_path / "run") == steps_of(finished)
    one, two = (
        np.asarray(Image.open(folder / "progress" / "step_00000009.png")).astype(int)
        for folder in (finished, tmp_path / "run")
    )
    # Sums of gradients are rounded differently: a level here and there, and colours of errors near a change.
    assert one.shape == two.shape
    assert (abs(one - two) > 3).mean() < 1e-2
    assert not list((tmp_path / "run" / "progress").glob(".*"))
