"""Real runs of networks that take more than LR, of the pool of pairs, and the file of what was drawn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build
from sr_experiments.app.trained import load_trained
from sr_experiments.callbacks.drawn import DrawnLog
from sr_experiments.commands.upscale import main
from sr_experiments.data.images import read_image, write_png
from sr_experiments.degradations import BlurNoise
from sr_experiments.errors import UserError
from sr_experiments.inference.tiling import enlarge_image, self_ensemble
from tests.harness import run

SRMD = ["model=srmd", "model.features=8", "model.layers=3"]
TINY = ["data.crop_size=24", "data.batch_size=4", "data.num_workers=0", "logger=csv", "trainer.accelerator=cpu"]
TINY += ["trainer.log_every_n_steps=1", "perceptual=off"]
POOL = ["model=small", "model.features=4", "model.blocks=1", "degradation=real_esrgan", "scheduler=constant"]
POOL += ["data.sets=[]", "training.stages.pool.pairs=6"]


def start(folder: Path, *arguments: str) -> None:
    """`sr-train` in a process of its own."""
    done = run("train", *TINY, f"hydra.run.dir={folder}", *arguments, cwd=folder.parent)
    assert done.returncode == 0, done.stderr


def fit(folder: Path, *arguments: str, resume: bool = False) -> dict[str, Any]:
    """The same in this process, where nothing depends on it; what the test gave."""
    given = [*TINY, f"paths.run_folder={folder}", f"paths.cache_dir={folder.parent / 'cache'}", *arguments]
    checkpoint = folder / "checkpoints" / "last.ckpt" if resume else None
    begun = build(compose_config("train", given), resume=checkpoint)
    begun.fit(checkpoint)
    test = begun.test(folder)
    begun.close()
    return test


def drawn_in(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "degradations.csv").open()))


@pytest.fixture(scope="module")
def srmd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("srmd") / "run"
    start(folder, *SRMD, "trainer.max_steps=3", "callbacks.drawn.samples=6")
    return folder


def test_srmd_trains_and_leaves_what_was_drawn(srmd: Path) -> None:
    results = json.loads((srmd / "results.json").read_text())
    assert results["status"] == "finished"
    rows = drawn_in(srmd)
    training, test = [row for row in rows if row["split"] == "train"], [row for row in rows if row["split"] != "train"]
    assert [row["step"] for row in training] == ["1"] * 4 + ["2"] * 2  # six samples, and no more
    assert [(row["split"], row["image"], row["key"]) for row in test] == [
        ("sample", "astronaut", "0"), ("sample", "chelsea", "1"),
    ]  # fmt: skip
    for row in rows:
        expected = BlurNoise(4).drawn(torch.tensor([int(row["key"])]))
        assert {name: float(row[name]) for name in expected} == {name: float(value) for name, value in expected.items()}


def test_srmd_is_tested_alike_later_and_on_one_kind_of_blur(srmd: Path, tmp_path: Path) -> None:
    common = [f"checkpoint={srmd}", "data=sample", "trainer.accelerator=cpu", "perceptual=off", "data.num_workers=0"]
    done = run("eval", *common, "seed=5", f"hydra.run.dir={tmp_path / 'same'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, later = (json.loads((folder / "results.json").read_text())["test"] for folder in (srmd, tmp_path / "same"))
    assert later == first
    one = ["degradation=srmd", "degradation.sigma=2", "degradation.noise=10", "degradation.anisotropic=0"]
    done = run("eval", *common, *one, f"hydra.run.dir={tmp_path / 'one'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(row["sigma_1"], row["noise"]) for row in drawn_in(tmp_path / "one")] == [("2.0", "10.0")] * 2


def test_upscaling_tells_srmd_of_blur_and_noise(srmd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels)
    base = [str(tmp_path / "a.png"), "--checkpoint", str(srmd), "--device", "cpu", "-o"]
    network = load_trained(srmd).network
    for name, given, (sigma, noise) in (
        ("plain", [], (0, 0)),
        ("told", ["--blur", "2.5", "--noise", "20"], (2.5, 20)),
        ("tiles", ["--blur", "2.5", "--noise", "20", "--tile", "12"], (2.5, 20)),
    ):
        assert main([*base, str(tmp_path / name), *given]) == 0
        told = BlurNoise(4).map_of(sigma, noise)
        expected = enlarge_image(lambda lr, told=told: network(lr, told), pixels, 4, 0, 0)
        made = read_image(tmp_path / name / "a.png")
        assert np.abs(made.astype(int) - expected).max() <= (1 if name == "tiles" else 0)
    assert not np.array_equal(read_image(tmp_path / "plain" / "a.png"), read_image(tmp_path / "told" / "a.png"))
    capsys.readouterr()
    for given, told in (
        (["--blur", "9"], "--blur SIGMA and --noise LEVEL (0 unless given): the network was trained for a blur"),
        (["--condition", "x"], "SRMD takes no condition"),
    ):
        assert main([*base, str(tmp_path / "out"), *given]) == 2
        assert told in capsys.readouterr().err


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Photographs whose maps tell two classes, a run of SFT-GAN's generator on them, and what its test gave."""
    root = tmp_path_factory.mktemp("seen")
    random = np.random.default_rng(0)
    for part in ("", "sets/Set/"):
        for name in "ab":
            write_png(root / part / "HR" / f"{name}.png", random.integers(0, 256, (48, 40, 3), np.uint8))
            write_png(root / part / "condition" / f"{name}.png", random.integers(0, 2, (48, 40), np.uint8))
    data = ["data=folder", f"data.train.hr={root / 'HR'}", f"data.train.condition={root / 'condition'}"]
    data += [f"data.root={root / 'sets'}", "data.sets=[Set]", "model.classes=2"]
    small = ["model=sft_gan", "model.features=8", "model.blocks=1"]
    return root, fit(root / "run", *small, *data, "trainer.max_steps=3")


def test_sft_gan_trains_and_is_tested_alike_later(seen: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, first = seen
    assert set(first["Set"]["images"]) == {"a", "b"}
    common = [f"checkpoint={root / 'run'}", "trainer.accelerator=cpu", "perceptual=off", "data.num_workers=0"]
    sets = [f"data.root={root / 'sets'}", "data.sets=[Set]", "data.classes=2"]
    done = run("eval", *common, *sets, f"hydra.run.dir={tmp_path / 'e'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    later = json.loads((tmp_path / "e" / "results.json").read_text())["test"]
    assert later["Set"]["images"] == first["Set"]["images"]


def test_upscaling_gives_sft_gan_its_map(
    seen: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = seen[0] / "run"
    pixels = np.random.default_rng(1).integers(0, 256, (30, 34, 3), np.uint8)
    labels = np.random.default_rng(2).integers(0, 2, (120, 136), np.uint8)
    write_png(tmp_path / "in" / "deep" / "a.png", pixels)
    write_png(tmp_path / "maps" / "deep" / "a.png", labels)
    np.save(tmp_path / "a.npy", np.stack([labels == 0, labels == 1]).astype(np.float32))
    base = [str(tmp_path / "in"), "--checkpoint", str(folder), "--device", "cpu", "-o"]
    network = load_trained(folder).network
    condition = torch.from_numpy(np.load(tmp_path / "a.npy"))[None]
    expected = enlarge_image(lambda lr: network(lr, condition), pixels, 4, 0, 0)
    for name, more in (("whole", []), ("tiles", ["--tile", "10"])):
        assert main([*base, str(tmp_path / name), "--condition", str(tmp_path / "maps"), *more]) == 0
        made = read_image(tmp_path / name / "deep" / "a.png").astype(int)
        assert np.abs(made - expected).max() <= (1 if more else 0)
    assert main([*base, str(tmp_path / "turned"), "--condition", str(tmp_path / "maps"), "--ensemble"]) == 0
    both = [
        enlarge_image(lambda lr, seen=seen: self_ensemble(network)(lr, condition=seen), pixels, 4, 0, 0)
        for seen in (condition, condition.flip(-1))
    ]
    made = read_image(tmp_path / "turned" / "deep" / "a.png")
    assert np.array_equal(made, both[0])
    assert not np.array_equal(made, both[1])
    capsys.readouterr()
    for given, told in (
        ([], "give --condition DIR with NAME.npy or NAME.png"),
        (["--condition", str(tmp_path / "nowhere")], "deep/a.npy nor a.png"),
        (["--blur", "1"], "leave --blur and --noise out"),
    ):
        assert main([*base, str(tmp_path / "out"), *given]) == 2
        assert told in capsys.readouterr().err
    write_png(tmp_path / "maps" / "deep" / "a.png", labels[:100])
    assert main([*base, str(tmp_path / "out"), "--condition", str(tmp_path / "maps")]) == 2
    assert "covers 136x100 pixels with 1 channels; what is made is 136x120" in capsys.readouterr().err


def checkpoint_of(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def check_the_same(whole: Path, parts: Path) -> list[dict[str, torch.Tensor]]:
    """Two folders end alike to the last bit; the pools of the first."""
    one, other = checkpoint_of(whole), checkpoint_of(parts)
    assert one["global_step"] == other["global_step"] == 6
    assert one["state_dict"].keys() == other["state_dict"].keys()
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    for mine, theirs in zip(one["pair_pools"], other["pair_pools"], strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert (whole / "metrics.csv").read_text() == (parts / "metrics.csv").read_text()
    assert drawn_in(whole) == drawn_in(parts)
    return one["pair_pools"]


def test_a_resumed_run_goes_on_with_its_pool_of_pairs(tmp_path: Path) -> None:
    fit(tmp_path / "whole", *POOL, "trainer.max_steps=6")
    fit(tmp_path / "parts", *POOL, "trainer.max_steps=3")
    [before] = checkpoint_of(tmp_path / "parts")["pair_pools"]
    assert int(before["filled"]) == 6
    assert before["hr"].dtype == torch.uint8
    fit(tmp_path / "parts", *POOL, "trainer.max_steps=6", resume=True)
    check_the_same(tmp_path / "whole", tmp_path / "parts")
    # The pool makes a difference as soon as it is full.
    fit(tmp_path / "none", *POOL[:-1], "trainer.max_steps=6")
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("whole", "none")]
    losses = [[row["train/loss"] for row in each] for each in rows]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]
    # A checkpoint without it can be gone on from, and with a pool of another size cannot.
    fit(tmp_path / "none", *POOL, "trainer.max_steps=7", resume=True)
    with pytest.raises(UserError, match=r"go on with the same training\.stages\.pool\.pairs"):
        fit(tmp_path / "parts", *POOL, "training.stages.pool.pairs=9", "trainer.max_steps=7", resume=True)


@pytest.mark.slow
def test_every_process_goes_on_with_its_own_pool(tmp_path: Path) -> None:
    given = [*POOL, "trainer=ddp_cpu", "training.stages.pool.pairs=4"]
    start(tmp_path / "whole", *given, "trainer.max_steps=6")
    start(tmp_path / "parts", *given, "trainer.max_steps=3")
    start(tmp_path / "parts", *given, "trainer.max_steps=6", "resume=auto")
    first, second = check_the_same(tmp_path / "whole", tmp_path / "parts")
    assert not set(first["key"].tolist()) & set(second["key"].tolist())


def test_a_negative_number_of_samples_is_refused() -> None:
    with pytest.raises(UserError, match=r"callbacks\.drawn\.samples=-1"):
        DrawnLog("somewhere", samples=-1)
