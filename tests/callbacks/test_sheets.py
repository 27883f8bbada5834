"""Sheets of pictures are laid out as they say, and the colours of errors can be read by anyone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from sr_experiments.callbacks.sheets import LARGEST_ERROR, PANEL, Example, cividis, draw_sheet, error_map, shortened


def pixels(seed: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def lightness(colours: np.ndarray) -> np.ndarray:
    """L* of sRGB colours (CIE 1976)."""
    linear = np.where(colours <= 10.31475, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def test_the_colours_of_errors_rise_evenly_in_lightness() -> None:
    values = lightness(cividis(np.linspace(0, 1, 101)).astype(np.float64))
    steps = np.diff(values[::10])
    assert (steps > 0).all()
    assert steps.max() < 1.5 * steps.mean()
    assert steps.min() > 0.6 * steps.mean()


def test_an_error_map_is_the_mean_difference_in_colours() -> None:
    hr, sr = pixels(0, (4, 5)), pixels(1, (4, 5))
    found = error_map(sr, hr)
    for row in range(4):
        for column in range(5):
            error = sum(abs(int(a) - int(b)) for a, b in zip(sr[row, column], hr[row, column], strict=True)) / 3
            assert (found[row, column] == cividis(np.array(min(error / LARGEST_ERROR, 1.0)))).all()
    assert (error_map(hr, hr) == cividis(np.array(0.0))).all()
    assert (error_map(np.zeros_like(hr), np.full_like(hr, 255)) == cividis(np.array(1.0))).all()


def test_a_sheet_shows_every_panel_enlarged_without_blur() -> None:
    examples = [
        Example("a", {"LR": pixels(0), "SR": pixels(1), "error": pixels(2)}, {"SR": "30.00 dB"}),
        Example("b", {"LR": pixels(3, (32, 24)), "error": pixels(4, (32, 24))}),
    ]
    sheet = draw_sheet("step 10", examples)
    times = PANEL // 32
    for panel in (panel for example in examples for panel in example.panels.values()):
        large = panel.repeat(times, axis=0).repeat(times, axis=1)
        assert occurs(large, sheet)
    assert (draw_sheet("step 10", examples) == sheet).all()


def occurs(panel: np.ndarray, sheet: np.ndarray) -> bool:
    height, width = panel.shape[:2]
    corners = np.argwhere((sheet[: -height + 1, : -width + 1] == panel[0, 0]).all(axis=-1))
    return any((sheet[top : top + height, left : left + width] == panel).all() for top, left in corners)


@pytest.mark.parametrize("size", [(200, 300), (17, 400)])
def test_panels_larger_than_usual_stay_as_they_are(size: tuple[int, int]) -> None:
    panel = pixels(0, size)
    assert occurs(panel, draw_sheet("step 10", [Example("a", {"SR": panel, "error": panel})]))


def test_long_names_keep_their_end() -> None:
    font = ImageFont.load_default(size=14)
    name = "a/very/long/path/to/a/photograph/of/a/zebra"
    short = shortened(name, 100, font)
    assert font.getlength(short) <= 100
    assert name.endswith(short.removeprefix("..."))
    assert len(short) > 8
    assert shortened("zebra", 100, font) == "zebra"
