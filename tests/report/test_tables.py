from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sr_experiments.report.disagreement import find_crops
from sr_experiments.report.read import find_runs
from sr_experiments.report.statistics import paired_differences
from sr_experiments.report.table import differing_keys, fill_rows, make_groups, make_rows, short_names
from tests.report.folders import scores, write_run

NAMES = [f"photo{place}" for place in range(8)]


def rows_of(folder):
    runs, _ = find_runs([folder])
    groups, group_of = make_groups(runs)
    rows = make_rows(runs, differing_keys(runs), group_of)
    fill_rows(rows, runs)
    return runs, groups, rows


def test_seeds_are_averaged_with_their_spread(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path / f"l1-{seed}", {"loss": "l1", "seed": seed}, images=scores(NAMES, 0, seed))
        write_run(tmp_path / f"mse-{seed}", {"loss": "mse", "seed": seed}, images=scores(NAMES, -0.5, seed + 10))
    runs, groups, rows = rows_of(tmp_path)
    assert len(groups) == 1
    assert [(row.name, len(row.runs)) for row in rows] == [("loss=l1", 3), ("loss=mse", 3)]
    psnr = [run.tests["sample"]["psnr"] for run in runs[:3]]
    numbers = rows[0].sets["sample"]
    assert numbers["mean"]["psnr"] == pytest.approx(np.mean(psnr))
    assert numbers["spread"]["psnr"] == pytest.approx(np.std(psnr, ddof=1))
    images = [run.results["test"]["sample"]["images"]["photo3"]["psnr"] for run in runs[:3]]
    assert numbers["images"]["photo3"]["psnr"] == pytest.approx(np.mean(images))
    assert numbers["is_best"]
    mean, low, high, count = rows[1].sets["sample"]["against_best"]
    assert count == 8
    assert low < mean < high < 0
    assert mean == pytest.approx(-0.5, abs=0.05)


def test_different_scales_and_protocols_get_rankings_of_their_own(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, {"loss": name}, images=scores(NAMES, 0))
    write_run(tmp_path / "c", {"loss": "a", "scale": 2}, images=scores(NAMES, 9))
    write_run(
        tmp_path / "d", {"loss": "a"}, images=scores(NAMES, 9), results={"protocol": {"channel": "rgb", "border": 4}}
    )
    _, groups, rows = rows_of(tmp_path)
    assert len(groups) == 3
    assert sum(row.group == 0 for row in rows) == 2
    assert "x4, y, border 4" in groups[0].label
    assert [row.name for row in rows if row.sets["sample"].get("is_best")] != []
    assert sum(row.sets["sample"]["is_best"] for row in rows) == 3


def test_names_are_short_and_never_shared(tmp_path):
    for loss in ("l1", "mse"):
        for rate in (1e-3, 1e-4):
            folder = f"{loss}-{rate}"
            overrides = {"loss": loss, "optimizer.learning_rate": rate, "trainer.log_every_n_steps": int(rate * 1e4)}
            write_run(tmp_path / folder, overrides, images=scores(NAMES, 0))
    _, _, rows = rows_of(tmp_path)
    assert sorted(row.name for row in rows) == [
        "loss=l1, learning_rate=0.0001", "loss=l1, learning_rate=0.001",
        "loss=mse, learning_rate=0.0001", "loss=mse, learning_rate=0.001",
    ]  # fmt: skip
    assert short_names(["loss.a.weight", "loss.b.weight", "seed"]) == {
        "loss.a.weight": "a.weight", "loss.b.weight": "b.weight", "seed": "seed",
    }  # fmt: skip


def test_equal_commands_of_different_configs_are_told_apart(tmp_path):
    for features in (32, 64):
        folder = tmp_path / f"f{features}"
        write_run(folder, {"loss": "l1"}, images=scores(NAMES, 0), config={"model": {"features": features}})
    _, _, rows = rows_of(tmp_path)
    assert [row.name for row in rows] == ["features=32", "features=64"]


def test_missing_scores_stay_missing(tmp_path):
    images = scores(NAMES, 0)
    folder = write_run(tmp_path / "a", {"loss": "a"}, images=images)
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text.replace('"lpips": ', '"lpips": null, "was": '))
    write_run(tmp_path / "b", {"loss": "b"}, images={name: images[name] for name in NAMES[:1]})
    _, _, rows = rows_of(tmp_path)
    assert rows[0].sets["sample"]["mean"]["lpips"] is None
    assert [of.sets["sample"]["against_best"] for of in rows] == [None, None]  # one image in common


def test_the_interval_is_that_of_scipy():
    random = np.random.default_rng(3)
    values = random.normal(0, 1, (2, 14)) + np.array([[0.0], [0.4]])
    first, second = paired_differences(values, 0)
    assert first == (0, 0, 0, 14)
    expected = stats.bootstrap(
        (values[1] - values[0],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert second.mean == pytest.approx(float((values[1] - values[0]).mean()))
    assert second.low == pytest.approx(expected.low, abs=0.03)
    assert second.high == pytest.approx(expected.high, abs=0.03)
    values[1, 3] = np.nan
    assert paired_differences(values, 0)[1].images == 13


def test_disagreement_is_found_where_it_is():
    base = np.full((120, 200), 100, np.uint8)
    other = base.copy()
    other[30:50, 150:170] = 140
    other[90:100, 10:20] = 120
    first, second, *rest = find_crops([base, other, base], side=20)
    assert (first.x, first.y, first.side) == (150, 30, 20)
    assert first.deviation == pytest.approx(np.std([0, 40, 0]), abs=0.01)
    assert second.x <= 10 <= second.x + 20
    assert second.y <= 90 <= second.y + 20
    assert rest == []  # nowhere else do they differ
    assert find_crops([base, base]) == []
    assert find_crops([base[:10, :10], other[30:40, 150:160]], side=48)[0][:3] == (0, 0, 10)
