"""`sr-train` as a user types it: the run folder it leaves, and what it says when something is wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build
from sr_experiments.data.images import write_png
from tests.harness import environment, run, train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that `debug=fast` left."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    done = train(folder, "debug=fast", "logger=default")
    assert done.returncode == 0, done.stderr
    assert "bicubic" in done.stdout
    return folder


def test_the_run_folder_holds_what_the_design_says(finished: Path) -> None:
    for name in (".hydra/config.yaml", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "metrics.csv", "wandb"):
        assert (finished / name).exists(), name
    assert list((finished / "wandb").glob("offline-run-*/run-*.wandb"))
    results = json.loads((finished / "results.json").read_text())
    assert results["status"] == "finished"
    assert results["steps"] == 2
    assert results["scale"] == 4
    assert results["protocol"] == {"channel": "y", "border": 4, "gray": "keep", "rounding": "8bit"}
    assert torch.__version__.split("+")[0] == results["versions"]["torch"].split("+")[0]
    sample = results["test"]["sample"]
    assert set(sample["images"]) == {"astronaut", "chelsea"}
    means = {name: np.mean([row[name] for row in sample["images"].values()]) for name in ("psnr", "bicubic_psnr")}
    assert sample["psnr"] == pytest.approx(means["psnr"])
    assert sample["bicubic"]["psnr"] == pytest.approx(means["bicubic_psnr"])


def test_saved_images_score_as_the_results_say(finished: Path, tmp_path: Path) -> None:
    from sr_experiments.data.sample import test_photographs

    hr = tmp_path / "hr"
    hr.mkdir()
    for photo in test_photographs():
        Image.open(photo.hr).save(hr / f"{photo.name}.png")
    json_file = tmp_path / "scores.json"
    done = run(
        "score", str(finished / "images" / "sample"), str(hr), "--scale", "4", "--json", str(json_file), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads(json_file.read_text())["images"]
    for name, row in json.loads((finished / "results.json").read_text())["test"]["sample"]["images"].items():
        assert scores[name]["psnr"] == pytest.approx(row["psnr"], abs=1e-9)


def test_metrics_have_a_row_a_logged_step(finished: Path) -> None:
    rows = list(csv.DictReader((finished / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert all(float(row["train/loss"]) > 0 and float(row["val/psnr"]) > 0 for row in rows)
    assert float(rows[1]["test/sample/psnr"]) == pytest.approx(float(rows[1]["val/psnr"]))


def test_checkpoints_hold_only_tensors_and_plain_values(finished: Path) -> None:
    checkpoint = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    assert checkpoint["config"]["model"]["upsampler"]["_partial_"] is True


def test_evaluating_the_checkpoint_gives_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    given = [f"checkpoint={finished}", "data=sample", "perceptual=off", f"hydra.run.dir={tmp_path / 'e'}"]
    done = run("eval", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained = json.loads((finished / "results.json").read_text())["test"]
    assert json.loads((tmp_path / "e" / "results.json").read_text())["test"] == trained


def test_help_lists_groups_and_options(tmp_path: Path) -> None:
    done = run("train", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for words in ("\nmodel ", "edsr_baseline", "\nupsampler ", "transposed", "\ndegradation ", "\nloss "):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.max_step=5"], "Did you mean trainer.max_steps?"),
        (["model=enhancnet"], "Did you mean enhancenet?"),
        (["model=srcnn", "upsampler=subpixel"], "choose a fixed one"),
        (["model=srresnet", "upsampler=bicubic"], "choose a learned"),
        (["data=folder"], "data.train.hr must be given"),
        (["resume=nowhere"], "There is no checkpoint nowhere"),
        (["test_checkpoint=first"], "use last or best"),
        (["experiment=null"], "leave its option out with ~GROUP"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def photo(path: Path, side: int = 64, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def test_broken_images_are_named_before_training(tmp_path: Path) -> None:
    photo(tmp_path / "hr" / "good.png")
    (tmp_path / "hr" / "bad.png").write_bytes((tmp_path / "hr" / "good.png").read_bytes()[:2000])
    done = train(tmp_path / "run", "data=folder", f"data.train.hr={tmp_path / 'hr'}", "debug=fast")
    assert done.returncode == 2
    assert "bad.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_evaluation_sets_trains_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    photo(tmp_path / "hr" / "a.png")
    done = train(tmp_path / "run", "debug=fast", "data=folder", f"data.train.hr={tmp_path / 'hr'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test"] == {}


def test_a_loss_that_is_not_finite_stops_the_run_with_step_term_and_checkpoint(tmp_path: Path) -> None:
    done = train(
        tmp_path / "run", "optimizer.learning_rate=1e30", "trainer.max_steps=20", "callbacks.checkpoints.every=1"
    )
    assert done.returncode == 2
    assert "not finite" in done.stderr
    assert "checkpoint" in done.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["status"] == "failed"


def test_wandb_out_of_reach_does_not_stop_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["debug=fast", "logger=default", "logger.wandb.mode=online", f"hydra.run.dir={folder}"]
    arguments += ["data.num_workers=0", "trainer.accelerator=cpu", "model.features=4", "model.blocks=1"]
    unreachable = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}
    done = run("train", *arguments, cwd=tmp_path, variables={**environment(), **unreachable})
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "results.json").read_text())["status"] == "finished"


def tiny(tmp_path: Path, *overrides: str) -> list[str]:
    from tests.harness import TINY

    return [*TINY, f"paths.run_folder={tmp_path}", "trainer.precision=32-true", *overrides]


def train_here(tmp_path: Path, *overrides: str) -> dict[str, torch.Tensor]:
    run = build(compose_config("train", tiny(tmp_path, *overrides)))
    run.fit(None)
    return {name: value.clone() for name, value in run.module.recipe.player.network.state_dict().items()}


def test_accumulating_batches_equals_one_large_batch(tmp_path: Path) -> None:
    common = ["trainer.max_steps=3", "data.sets=[]"]
    whole = train_here(tmp_path / "a", "data.batch_size=8", *common)
    parts = train_here(tmp_path / "b", "data.batch_size=4", "trainer.accumulate_grad_batches=2", *common)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=2e-5)


def test_clipping_limits_the_gradient(tmp_path: Path) -> None:
    overrides = ["trainer.gradient_clip_val=1e-3", "trainer.max_steps=1", "data.sets=[]"]
    run = build(compose_config("train", tiny(tmp_path, *overrides)))
    run.fit(None)
    gradients = [parameter.grad.flatten() for parameter in run.module.recipe.player.network.parameters()]
    assert float(torch.cat(gradients).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_the_moving_average_is_what_gets_evaluated(tmp_path: Path) -> None:
    run = build(compose_config("train", tiny(tmp_path, "ema_decay=0.5", "trainer.max_steps=3", "data.sets=[]")))
    average = {name: value.clone() for name, value in run.module.recipe.player.network.state_dict().items()}
    run.fit(None)
    assert run.module.recipe.player.evaluated is not run.module.recipe.player.network
    moved = run.module.recipe.player.evaluated.state_dict()
    trained = run.module.recipe.player.network.state_dict()
    assert any(not torch.equal(moved[name], trained[name]) for name in trained)
    assert any(not torch.equal(moved[name], average[name]) for name in trained)


@pytest.mark.parametrize("overrides", [["trainer.precision=bf16-mixed"], ["channels_last=false"], ["optimizer=adamw"]])
def test_variants_train(overrides: list[str], tmp_path: Path) -> None:
    trained = train_here(tmp_path, "trainer.max_steps=2", "trainer.val_check_interval=1", *overrides)
    assert all(torch.isfinite(value).all() for value in trained.values())


def test_skipping_counts_and_leaves_the_weights(tmp_path: Path) -> None:
    run = build(compose_config("train", tiny(tmp_path, "on_nonfinite=skip", "trainer.max_steps=4", "data.sets=[]")))
    loss = run.module.loss
    calls = []

    def spoilt(**inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(len(calls))
        values = type(loss).forward(loss, **inputs)
        return {"l1": values["l1"] * float("nan")} if len(calls) == 3 else values

    loss.forward = spoilt
    run.fit(None)
    assert run.trainer.global_step == 4
    assert int(run.module.skipped_updates) == 1
    assert all(torch.isfinite(value).all() for value in run.module.recipe.player.network.state_dict().values())


def test_weights_and_gradient_shares_of_terms_are_logged_on_demand(tmp_path: Path) -> None:
    overrides = ["loss=l1_tv", "training.recipe.log_gradient_shares=true", "trainer.max_steps=1", "data.sets=[]"]
    train_here(tmp_path, *overrides)
    (row,) = csv.DictReader((tmp_path / "metrics.csv").open())
    assert float(row["train/l1_weight"]) == 1.0
    assert float(row["train/tv_weight"]) == 1e-4
    assert float(row["train/l1_share"]) + float(row["train/tv_share"]) == pytest.approx(1)
    assert float(row["train/loss"]) == pytest.approx(float(row["train/l1"]) + 1e-4 * float(row["train/tv"]))


def test_a_run_with_random_features_is_marked(tmp_path: Path) -> None:
    overrides = ["loss=l1_perceptual", "feature_network.weights=random", "data.sets=[]"]
    marked = build(compose_config("train", tiny(tmp_path, *overrides)))
    assert marked.facts()["random_features"] is True
    plain = build(compose_config("train", tiny(tmp_path, "data.sets=[]")))
    assert "random_features" not in plain.facts()
