"""A real browser that opens pages from disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened(page: Path, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """Open a page; gives Playwright's page, and a list that fills with errors and with requests beyond the disk."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is installed")
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # whom Chromium's sandbox refuses
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"] if is_root else [])
        tab = browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **options})
        errors: list[str] = []
        tab.on("console", lambda line: errors.append(line.text) if line.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("requestfailed", lambda request: errors.append(f"failed: {request.url}"))
        tab.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else errors.append(request.url),
        )
        tab.goto(page.as_uri())
        try:
            yield tab, errors
        finally:
            browser.close()
