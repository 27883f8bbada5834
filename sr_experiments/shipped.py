"""Where the shipped configs lie."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """The folder of the shipped configs: in the wheel inside the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
