"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    folder = os.environ.get("SR_ASSETS")
    if not folder:
        pytest.skip("SR_ASSETS is not set: it names the folder of test images and reference outputs")
    return Path(folder)
