"""Two processes train and measure what one does, also where they have different numbers of images to evaluate."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sr_experiments.data.images import write_png
from tests.runs import train


@pytest.mark.slow
@pytest.mark.parametrize("model", ["small", "srresnet"])
def test_two_processes_agree_with_one(model: str, tmp_path: Path) -> None:
    for index in range(3):  # not a multiple of two
        pixels = np.random.default_rng(index).integers(0, 256, (64, 48, 3), np.uint8)
        (tmp_path / "sets" / "Three").mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / "sets" / "Three" / f"{index}.png", pixels)
    common = [f"model={model}", "model.blocks=1", "model.features=4", f"data.root={tmp_path / 'sets'}"]
    common += ["data.sets=[Three]", "trainer.max_steps=4", "trainer.val_check_interval=2"]
    found = {}
    for name, extra in (("one", []), ("two", ["trainer=ddp_cpu"])):
        done = train(tmp_path / name, *common, *extra)
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader((tmp_path / name / "metrics.csv").open()))
        found[name] = (rows, json.loads((tmp_path / name / "results.json").read_text()))
    (rows_one, results_one), (rows_two, results_two) = found["one"], found["two"]
    assert set(results_two["test"]["Three"]["images"]) == {"0", "1", "2"}
    first = [float(rows[0]["train/loss"]) for rows in (rows_one, rows_two)]
    # Batch norm sees half a batch in each process, so its losses are only alike.
    assert first[1] == pytest.approx(first[0], rel=1e-5 if model == "small" else 0.2)
    if model == "small":
        losses = [[float(row["train/loss"]) for row in rows] for rows in (rows_one, rows_two)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        for image, row in results_one["test"]["Three"]["images"].items():
            assert results_two["test"]["Three"]["images"][image]["psnr"] == pytest.approx(row["psnr"], abs=1e-3)
