"""Names from outside become paths below a folder, or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_experiments.errors import UserError
from sr_experiments.pixels.below import below, is_plain

PARTS = st.sampled_from(["..", ".", "", "Set5", "a b", "~", "/", "\0", "...", "x.png", "фото"])


@pytest.mark.parametrize("name", ["Set5", "BSDS500/val", "a..b", "...", "фото 1", "./x", "a//b", "x.png"])
def test_plain_names(tmp_path: Path, name: str) -> None:
    assert below(tmp_path, name, ".png") == tmp_path / f"{name}.png"


@pytest.mark.parametrize(
    "name", ["", ".", "/", "/usr", "//usr", "..", "../x", "a/../../x", "a/..", "~/x", "a\0b", None, 3]
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    assert not is_plain(name)
    with pytest.raises(UserError, match="must be a plain relative path"):
        below(tmp_path, name)


@given(st.lists(PARTS, min_size=1, max_size=5), st.booleans())
def test_no_name_leaves_the_folder(parts: list[str], absolute: bool) -> None:
    name = "/" * absolute + "/".join(parts)
    root = Path("/nowhere/at/all")
    try:
        path = below(root, name)
    except UserError:
        return
    assert path.resolve().is_relative_to(root)
    assert path.resolve() != root


def test_links_may_stay_inside_but_not_lead_out(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "inside").symlink_to(folder / "real")
    (folder / "out").symlink_to(elsewhere)
    (folder / "file.png").symlink_to(elsewhere / "x.png")
    (tmp_path / "link").symlink_to(folder)
    assert below(folder, "inside") == folder / "inside"
    assert below(tmp_path / "link", "x") == tmp_path / "link" / "x"
    for name, ending in (("out/x", ""), ("file", ".png"), ("inside/../out/x", "")):
        with pytest.raises(UserError, match=r"leads out of|plain relative"):
            below(folder, name, ending)
