"""The list of groups in `--help`: complete, in columns, and only what can be chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from sr_experiments.app.listing import WIDTH, groups_of, in_columns, listing
from sr_experiments.shipped import conf_dir
from tests.harness import run


def parsed(text: str) -> dict[str, list[str]]:
    """Group -> options, from lines of which those that begin with a blank go on with the group before."""
    groups: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if not line.startswith(" "):
            group = words.pop(0)
        groups.setdefault(group, []).extend(words)
    return groups


def test_list_is_complete() -> None:
    expected: dict[str, list[str]] = {}
    for file in conf_dir().glob("**/*.yaml"):
        if file.parent != conf_dir() and file.parent.name != "common":
            expected.setdefault(file.parent.relative_to(conf_dir()).as_posix(), []).append(file.stem)
    assert {group: sorted(words) for group, words in parsed(listing()).items()} == {
        group: sorted(words) for group, words in expected.items()
    }
    assert max(map(len, listing().splitlines())) <= WIDTH
    assert list(parsed(listing()))[:4] == ["experiment", "sweep", "model", "upsampler"]


def test_list_of_one_config() -> None:
    groups = set(parsed(listing("eval")))
    assert {"model", "degradation", "data", "metrics"} <= groups
    assert {"loss", "optimizer", "experiment", "sweep"}.isdisjoint(groups)
    assert "hydra/sweeper" in groups_of("train")  # where an entry overrides one of Hydra's


def test_columns_line_up() -> None:
    assert in_columns(["a", "bcd", "ef", "g"], 12) == ["a    bcd", "ef   g"]
    assert in_columns(["much_too_long_for_it", "b"], 5) == ["much_too_long_for_it", "b"]


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_is_readable(command: str, tmp_path: Path) -> None:
    done = run(command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert "\nmodel             carn " in done.stdout
    assert "$" not in done.stdout
