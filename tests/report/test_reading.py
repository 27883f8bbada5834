from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from sr_experiments.commands.report import main
from sr_experiments.report.curves import read_curves, thin
from sr_experiments.report.read import find_runs
from sr_experiments.runs.plain import resolved
from tests.report.folders import PROTOCOL, curve_table, picture, scores, write_run


def test_finds_runs_at_any_depth_and_names_what_is_none(tmp_path):
    write_run(tmp_path / "a" / "deep" / "one", {"model": "small"}, images=scores(["x"], 0))
    write_run(tmp_path / "two", {"model": "edsr"}, images=scores(["x"], 0))
    write_run(tmp_path / "two" / "wandb" / "copy", {})  # what others keep inside a run folder is no run of its own
    (tmp_path / "empty").mkdir()
    runs, notes = find_runs([tmp_path, tmp_path / "empty", tmp_path / "missing", tmp_path / "two"])
    assert [run.label for run in runs] == ["a/deep/one", "two"]
    assert len(notes) == 2
    assert "empty is no run folder" in notes[0]
    assert "missing is no folder" in notes[1]


def test_a_finished_run(tmp_path):
    folder = write_run(tmp_path / "run", {"loss": "l1", "seed": 3, "resume": "auto"}, images=scores(["x", "y"], 0))
    picture(folder / "images" / "sample" / "deep" / "x.png", 0)
    (run,), notes = find_runs([folder])
    assert notes == []
    assert (run.status, run.scale, run.protocol, run.seed, run.steps) == ("finished", 4, PROTOCOL, 3, 4000)
    assert run.are_final
    assert set(run.tests["sample"]) == {"psnr", "ssim", "lpips"}
    assert run.command == "sr-train loss=l1 seed=3"
    assert run.images == {"sample": ["deep/x"]}


def test_overrides_keep_their_kinds(tmp_path):
    folder = write_run(tmp_path / "run", {"a": 1e-3, "b": "1e-3", "c": "[1,2]", "d": "text"})
    (folder / ".hydra" / "overrides.yaml").write_text("- a=1e-3\n- +b=0.5\n- ~experiment\n- d=a=b\n- 'e=it''s'\n")
    (run,), _ = find_runs([folder])
    assert run.overrides == {"a": 0.001, "b": 0.5, "experiment": "(left out)", "d": "a=b", "e": "it's"}
    assert run.command == """sr-train a=1e-3 +b=0.5 '~experiment' d=a=b 'e=it'"'"'s'"""


def test_a_run_that_goes_on_has_its_validation_numbers(tmp_path):
    folder = write_run(tmp_path / "run", {"loss": "l1"}, curves=curve_table(400))
    (run,), _ = find_runs([folder])
    assert run.status == "running"
    assert not run.are_final
    assert run.tests == {"sample": {"psnr": 25.4}}
    assert run.steps == 400
    assert run.protocol == PROTOCOL  # from the config, whose border is the scale
    old = time.time() - 10_000
    for file in (folder / "metrics.csv", folder / ".hydra" / "config.yaml"):
        os.utime(file, (old, old))
    assert find_runs([folder])[0][0].status == "unfinished"


def test_half_written_and_damaged_files(tmp_path):
    torn = write_run(tmp_path / "torn", {"loss": "l1"}, images=scores(["x"], 0), curves=curve_table(400)[:-20])
    text = (torn / "results.json").read_text()
    (torn / "results.json").write_text(text[: len(text) // 2])
    (torn / "wandb" / "latest-run").mkdir(parents=True)
    (torn / "wandb" / "latest-run" / "run.wandb").write_bytes(b"\0\xff broken")
    broken = write_run(tmp_path / "broken", {})
    (broken / ".hydra" / "config.yaml").write_text("a: [1,")
    text_only = write_run(tmp_path / "text_only", {})
    (text_only / ".hydra" / "config.yaml").write_text("just a text")
    runs, notes = find_runs([tmp_path])
    assert [run.label for run in runs] == ["torn"]
    assert "half-written" in runs[0].notes[0]
    assert runs[0].steps == 380
    assert len(notes) == 2
    assert all("cannot be read" in note for note in notes)


@pytest.mark.parametrize(
    "results", [[], {"status": "failed", "error": "UserError: <b>no</b>"}, {"test": 3}, {"test": {"s": 1}}]
)
def test_results_of_other_shapes(tmp_path, results):
    folder = write_run(tmp_path / "run", {"loss": "l1"})
    (folder / "results.json").write_text(json.dumps(results))
    (run,), _ = find_runs([folder])
    assert run.tests == {}
    assert run.error == (results.get("error", "") if isinstance(results, dict) else "")


def test_references_in_the_config_are_followed():
    config = {"scale": 4, "metrics": {"border": "${scale}"}, "loop": "${loop}"}
    assert resolved(config, "metrics.border") == 4
    assert resolved(config, "loop") is None
    assert resolved(config, "metrics.nothing.there") is None


def test_curves_are_thinned_to_means_and_keep_their_end(tmp_path):
    (steps, values) = thin([(step, float(step)) for step in range(1, 10_001)], 100)
    assert len(steps) == len(values) == 100
    assert (steps[-1], values[-1]) == (10_000, 10_000.0)
    assert values[:-1] == sorted(values[:-1])
    assert abs(values[0] - 51) < 1  # the mean of the first hundredth
    path = tmp_path / "metrics.csv"
    path.write_text("step,a,test/x\n1,nan,3\n2,inf,3\nx,1,1\n3,5,\n4,6")
    notes: list[str] = []
    assert read_curves(path, notes) == {"a": [[3], [5.0]]}
    assert read_curves(Path("nowhere"), notes) == {}
    assert notes == []


def test_runs_of_before_read_like_those_of_today(tmp_path):
    old = Path(__file__).parents[1] / "old_runs"
    runs, notes = find_runs([old])
    assert notes == []
    assert [run.label for run in runs] == ["l1_ema", "srgan", "srmd", "srntt"]
    assert {run.status for run in runs} == {"finished"}
    assert all("recipe" in run.config["training"] for run in runs)
    page = tmp_path / "page.html"
    assert main([str(old), "-o", str(page)]) == 0
    assert page.stat().st_size > 100_000
