"""What W&B gets to know of a run, read back from the file that it keeps offline."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import wandb

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build
from sr_experiments.callbacks.wandb_log import WandbLog, _run_id
from tests.harness import TINY, train
from tests.wandb_file import chunks, config, history, of_kind, records

RUN = ["logger=default", "perceptual=off", "trainer.max_steps=4", "trainer.val_check_interval=2"]
RUN += ["callbacks.crops.every=2", "logger.wandb.log_checkpoint=true", "scheduler=constant"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wandb") / "run"
    home = folder.parent / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        done = train(folder, *RUN)
    assert done.returncode == 0, done.stderr
    return folder


def test_long_records_are_put_together_from_their_blocks(finished: Path) -> None:
    (file,) = (finished / "wandb").glob("offline-run-*/*.wandb")
    content = file.read_bytes()
    assert sum(len(chunk) for chunk in chunks(content)) > 0.95 * (len(content) - 7 * len(records(finished)) - 7)


def test_every_row_says_its_generator_update(finished: Path) -> None:
    rows = history(finished)
    losses = [(row["trainer/global_step"], row["train/loss"]) for row in rows if "train/loss" in row]
    csv = (finished / "metrics.csv").read_text().splitlines()
    column = csv[0].split(",").index("train/loss")
    expected = [(int(line.split(",")[0]), float(line.split(",")[column])) for line in csv[1:]]
    assert losses == expected
    assert [row["trainer/global_step"] for row in rows if "val/psnr" in row] == [2, 4]
    defined = {metric.glob_name or metric.name: metric for metric in of_kind(finished, "metric")}
    assert defined["*"].step_metric == "trainer/global_step"
    assert defined["val/psnr"].step_metric == "trainer/global_step"


def test_scores_of_the_validation_have_their_direction(finished: Path) -> None:
    defined = {metric.name: metric.summary for metric in of_kind(finished, "metric")}
    for name in ("val/psnr", "val/ssim", "val/sample/psnr"):
        assert (defined[name].max, defined[name].min, defined[name].last) == (True, False, True)
    assert not [name for name in defined if name.startswith(("test/", "train/"))]


def test_a_score_of_which_less_is_better_keeps_its_smallest_value(tmp_path: Path) -> None:
    log = WandbLog(str(tmp_path), "project", name="x")
    for step, value in ((1, 0.5), (2, 0.2), (3, 0.3)):
        log.log_metrics({"val/Set5/lpips": value, "val/psnr": 20 + value, "val/d_overfit": value}, step=step)
    found = dict(log.experiment.summary)
    log.close()
    assert dict(found["val/Set5/lpips"]) == {"min": 0.2, "last": 0.3}
    assert dict(found["val/psnr"]) == {"max": 20.5, "last": 20.3}
    assert found["val/d_overfit"] == 0.3


def test_the_composed_config_and_what_made_the_run_are_recorded(finished: Path) -> None:
    found = config(finished)
    assert found["trainer"]["max_steps"] == 4
    assert found["model"]["_target_"].startswith("sr_experiments.models")
    assert found["choices"]["loss"] == "l1"
    results = json.loads((finished / "results.json").read_text())
    assert found["environment"] == results["environment"]
    assert found["versions"] == results["versions"]
    commit = (results["environment"]["git"] or {"commit": "0" * 40})["commit"]
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    told = json.dumps(results["environment"])
    assert not [value for name, value in os.environ.items() if "KEY" in name and len(value) > 8 and value in told]


def test_pictures_are_a_table_and_a_sheet_a_time(finished: Path) -> None:
    rows = [row for row in history(finished) if "images/crops/path" in row]
    assert [row["trainer/global_step"] for row in rows] == [0, 2, 4]
    for row in rows:
        assert (row["images/crops/nrows"], row["images/crops/_type"]) == (2, "table-file")
        (sheet,) = (finished / "wandb").glob(f"offline-run-*/files/{row['images/crops_sheet/path']}")
        written = finished / "progress" / f"step_{row['trainer/global_step']:08d}.png"
        assert sheet.read_bytes()[:8] == written.read_bytes()[:8]
        (file,) = (finished / "wandb").glob(f"offline-run-*/files/{row['images/crops/path']}")
        table = json.loads(file.read_text())
        assert table["columns"][:2] == ["step", "image"]
        assert table["columns"][2:7] == ["LR", "bicubic", "SR", "HR", "error"]
    shown = [row["trainer/global_step"] for row in history(finished) if "images/best_and_worst/path" in row]
    assert shown == [2, 4, 4]  # two validations, one test


def test_the_best_checkpoint_is_an_artifact_on_request(finished: Path) -> None:
    (artifact,) = [artifact for artifact in of_kind(finished, "artifact") if artifact.type == "model"]
    assert "best" in artifact.aliases
    (entry,) = artifact.manifest.contents
    assert entry.path == "best.ckpt"
    assert Path(entry.local_path).read_bytes() == (finished / "checkpoints" / "best.ckpt").read_bytes()
    assert json.loads(artifact.metadata)["step"] in (2, 4)


def test_what_waits_for_its_upload_lies_in_the_run_folder(finished: Path) -> None:
    for artifact in of_kind(finished, "artifact"):
        for entry in artifact.manifest.contents:
            assert Path(entry.local_path).is_relative_to(finished / "wandb")
    home = finished.parent / "home"
    assert not [path for path in home.rglob("*") if "artifacts" in path.relative_to(home).parts]


def test_a_resumed_run_is_the_same_one(tmp_path: Path) -> None:
    def train_here(*overrides: str, resume: Path | None = None) -> None:
        run = build(compose_config("train", [*TINY, *RUN, f"paths.run_folder={tmp_path}", *overrides]), resume=resume)
        run.fit(resume)
        run.close()
        wandb.teardown()  # what its process still holds is written

    train_here("trainer.max_steps=2", "logger.wandb.log_checkpoint=false")
    assert not [artifact for artifact in of_kind(tmp_path, "artifact") if artifact.type == "model"]
    train_here(resume=tmp_path / "checkpoints" / "last.ckpt")
    assert [artifact for artifact in of_kind(tmp_path, "artifact") if artifact.type == "model"]
    runs = of_kind(tmp_path, "run")
    assert len(runs) >= 2
    assert {run.run_id for run in runs} == {(tmp_path / "wandb" / "run_id").read_text()}
    logged = [row["trainer/global_step"] for row in history(tmp_path) if "train/loss" in row]
    assert logged == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0 spoilt", b"two words"])
def test_a_spoilt_run_id_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run_id").write_bytes(content)
    found = _run_id(tmp_path)
    assert re.fullmatch(r"[\w-]+", found)
    assert _run_id(tmp_path) == found


def test_a_folder_that_cannot_be_written_to_does_not_stop_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wandb").write_text("a file in the way")
    assert _run_id(tmp_path)
    assert "will be another one in W&B" in caplog.text
