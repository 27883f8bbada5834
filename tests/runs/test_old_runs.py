"""Runs that were made before the rooms had their names still load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sr_experiments.app.trained import load_trained

OLD = Path(__file__).parents[1] / "old_runs"


@pytest.mark.parametrize("name", ["l1_ema", "srgan", "srmd", "srntt"])
def test_an_old_run_folder_loads(name: str) -> None:
    trained = load_trained(OLD / name)
    assert (trained.scale, trained.step) == (4, 2)
    assert all(torch.isfinite(value).all() for value in trained.network.state_dict().values())


def test_an_old_checkpoint_alone_loads(tmp_path: Path) -> None:
    file = tmp_path / "moved.ckpt"
    file.write_bytes((OLD / "l1_ema" / "checkpoints" / "last.ckpt").read_bytes())
    network = load_trained(file).network
    with torch.no_grad():
        assert network(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)
