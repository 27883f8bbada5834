"""What a config or results from elsewhere may hold: it is bounded, and refers to nothing but itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sr_experiments.app.compose import compose_config
from sr_experiments.report.read import find_runs
from sr_experiments.runs.folder import LARGEST_YAML, RunFolder, read_yaml
from sr_experiments.runs.plain import MOST_LEVELS, check_tree, followed
from sr_experiments.runs.results import read_results
from sr_experiments.runs.resume import find_run
from tests.report.folders import scores, write_run

# A few lines that stand for 10^9 values, by an alias of a list or by merging mappings.
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        ALIASES,
        MERGES,
        "a: &a [1]\nb: *a",
        "a: &a {b: *a}",
        "[" * 100_000,
        "[" * 200 + "]" * 200,
        "- " * 100_000,
        "? " * 100_000,
        "x" * (LARGEST_YAML + 1),
    ],
    ids=["aliases", "merges", "one alias", "itself", "unclosed", "deep", "compact", "keys", "large"],
)
def test_a_config_is_bounded(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    # In a process of its own: a reader that hangs or takes all memory must fail this test, not end it.
    program = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from pathlib import Path
from sr_experiments.runs.folder import read_yaml
try:
    read_yaml(Path({str(file)!r}))
except ValueError as error:
    print(str(error)[:200])
    sys.exit(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr


def test_shipped_configs_are_within_the_bounds(tmp_path: Path) -> None:
    for overrides in (["experiment=srntt"], ["experiment=enhancenet_pat"], ["experiment=mdsr"]):
        config = compose_config("train", overrides)
        check_tree(OmegaConf.to_container(config, resolve=False))
        OmegaConf.save(config, tmp_path / "config.yaml")
        assert read_yaml(tmp_path / "config.yaml") == OmegaConf.to_container(config, resolve=False)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("${scale}", 4),
        ({"a": ["${part}", "x"]}, {"a": [{"scale": 4}, "x"]}),
        ("${oc.select:part.scale,null}", 4),
        ("${oc.select:nothing,null}", None),
        ("${oc.select:nothing,3}", 3),
        ("${none}", None),
    ],
)
def test_references_are_followed(node: Any, expected: Any) -> None:
    assert followed({"scale": 4, "none": None, "part": {"scale": "${scale}"}}, node) == expected


BOMB = {f"a{n}": [f"${{a{n - 1}}}"] * 10 for n in range(1, 9)} | {"a0": [1] * 10}


@pytest.mark.parametrize(
    ("config", "node"),
    [
        ({}, "${oc.env:HOME}"),
        ({}, "x${scale}"),
        ({}, "${nothing}"),
        ({}, "${oc.select:x,${oc.env:HOME}}"),
        ({"a": ["${a}"]}, "${a}"),
        (BOMB, "${a8}"),
        ({}, {"a": {1, 2}}),
        ({}, b"bytes"),
    ],
)
def test_other_references_are_refused(config: dict[str, Any], node: Any) -> None:
    with pytest.raises(ValueError, match=r"plain reference|circles|it holds a|is not there"):
        followed(config, node)


def test_one_bad_run_is_left_out_of_a_page_and_of_resuming(tmp_path: Path) -> None:
    good = write_run(tmp_path / "good", {"loss": "l1"}, images=scores(["x"], 0))
    for name, text in (("aliases", ALIASES), ("merges", MERGES), ("deep", "[" * 100_000)):
        folder = write_run(tmp_path / name, {"loss": "l1"})
        (folder / ".hydra" / "config.yaml").write_text(text)
    runs, notes = find_runs([tmp_path])
    assert [run.label for run in runs] == ["good"]
    assert len(notes) == 3
    config = OmegaConf.create(RunFolder(good).read_config())
    assert find_run(config, tmp_path) == good.resolve() or find_run(config, tmp_path) == good


def test_results_that_are_nested_deeply_or_are_no_file_are_left_out(tmp_path: Path) -> None:
    deep = write_run(tmp_path / "deep", {"loss": "l1"})
    for levels in (MOST_LEVELS + 1, 900, 100_000):
        (deep / "results.json").write_text(
            '{"status": "finished", "test": ' + '{"a": ' * levels + "1" + "}" * (levels + 1)
        )
        assert read_results(deep) is None
    pipe = write_run(tmp_path / "pipe", {"loss": "mse"})
    os.mkfifo(pipe / "results.json")
    runs, _ = find_runs([tmp_path])
    assert [run.results for run in runs] == [{}, {}]
    assert "damaged" in runs[0].notes[0]
    (deep / "results.json").write_text(json.dumps({"status": "finished"}))
    assert read_results(deep) == {"status": "finished"}
