"""The weights after a few updates of every kind of training are what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.golden import CASES, FILE, digest, machine, numbers, weights_after

GOLDEN = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", CASES)
def test_weights_are_what_they_were(name: str, tmp_path: Path) -> None:
    state = weights_after(CASES[name], tmp_path)
    assert numbers(state) == pytest.approx(GOLDEN["cases"][name]["norms"], rel=1e-3)
    if machine() == GOLDEN["machine"]:
        assert digest(state) == GOLDEN["cases"][name]["digest"]
