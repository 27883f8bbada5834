"""The notebooks run from top to bottom, and can be read without being run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import environment

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# What each one says at its end.
SAID = {
    "01_quickstart": "-> (240, 320, 3)",
    "02_loss_ablation": " - ",
    "03_degradations": "alone and in a batch, equal: True",
    "04_texture_transfer": "LR itself",
}
# What is trained shorter here than a reader would: whether a cell runs does not depend on it.
SHORTER = {
    "01_quickstart": {"max_steps=300": "max_steps=40", "val_check_interval=100": "val_check_interval=20"},
    "02_loss_ablation": {"max_steps=150": "max_steps=30", "interval=150": "interval=30", "seed=1,2,3": "seed=1,2"},
}
LARGEST = 400_000
MACHINE = re.compile(r"/(home|root|tmp|usr|opt|Users|work)/|[a-z]+://|site-packages")


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def execute(name: str, folder: Path, timeout: float = 900) -> str:
    if name != "01_quickstart":
        pytest.importorskip("matplotlib")
        pytest.importorskip("pandas")
    program = "\n".join("".join(cell["source"]) for cell in cells_of(FOLDER / f"{name}.ipynb"))
    for written, shorter in SHORTER.get(name, {}).items():
        assert written in program
        program = program.replace(written, shorter)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**environment(), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_notebook_runs(tmp_path: Path) -> None:
    assert SAID["03_degradations"] in execute("03_degradations", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SAID) - {"03_degradations"}))
def test_every_cell_runs(name: str, tmp_path: Path) -> None:
    said = execute(name, tmp_path)
    assert SAID[name] in said
    if name == "02_loss_ablation":
        differences = re.findall(r"(\w+) - (\w+): ([+-][\d.]+) dB \[([+-][\d.]+), ([+-][\d.]+)\]", said)
        assert len(differences) == 3
        for _, _, mean, low, high in differences:
            assert float(low) <= float(mean) <= float(high)
            assert float(mean) <= 0  # none is better than the best
    if name == "04_texture_transfer":
        (share,) = re.findall(r"(\d+)% matched within one cell", said)
        assert int(share) > 60


def test_each_notebook_is_run_by_a_test() -> None:
    assert {notebook.stem for notebook in NOTEBOOKS} == set(SAID)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_can_be_read_without_being_run(notebook: Path) -> None:
    assert notebook.stat().st_size < LARGEST
    cells = cells_of(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert any(kind.startswith("image/") for kind in kinds)
    for output in outputs:
        texts = {kind: "".join(text) for kind, text in output.get("data", {}).items() if kind.startswith("text/")}
        for text in (*texts.values(), "".join(output.get("text", ""))):
            assert not MACHINE.search(text), MACHINE.search(text)
