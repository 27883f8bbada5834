"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A shell lets programs in the background ignore Ctrl-C, and what they start does so, too: tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test measures time: how long an example takes depends on what else the machine does.
settings.register_profile("untimed")
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def assets() -> Path:
    folder = os.environ.get("SR_ASSETS")
    if not folder:
        pytest.skip("SR_ASSETS is not set: it names the folder of test images and reference outputs")
    return Path(folder)
