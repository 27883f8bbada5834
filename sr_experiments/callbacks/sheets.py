"""Sheets of pictures: examples in rows, LR to error map in columns, as one image that any viewer shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]

# The error at the top of the colour scale, in 8-bit levels. It is fixed, so that maps of different times compare.
LARGEST_ERROR = 64

# Cividis (Nunez, Anderton, Renslow 2018): perceptually uniform, and the same without colour vision. Evenly spaced.
CIVIDIS = (
    "00204c 002a66 00346e 273f6c 3c4a6b 4c556b 5b5f6d 686a70 757575 838178 928c78 a19876 b0a572 c0b16d d1bf66 e1cc5c "
    "f3db4f ffe945"
)

PANEL = 192  # smallest side of a panel in pixels, rounded down to a whole enlargement
GAP = 10
LINE = 20
INK, PALE = (25, 25, 25), (110, 110, 110)


@dataclass(frozen=True)
class Example:
    """One row of a sheet.

    Attributes:
        name: what is shown: the set and the image.
        panels: column -> uint8 (h, w, 3).
        notes: column -> what stands below its panel.
        values: name -> number, for tables.
    """

    name: str
    panels: dict[str, Pixels]
    notes: dict[str, str] = field(default_factory=dict)
    values: dict[str, float | None] = field(default_factory=dict)


def error_map(sr: Pixels, hr: Pixels) -> Pixels:
    """The absolute difference of two images, averaged over the channels, in colours from dark (0) to bright.

    Args:
        sr: uint8 (h, w, 3).
        hr: uint8 (h, w, 3).

    Returns:
        uint8 (h, w, 3); `LARGEST_ERROR` and anything above have the brightest colour.
    """
    return cividis(errors(sr, hr) / LARGEST_ERROR)


def errors(sr: Pixels, hr: Pixels) -> NDArray[np.float64]:
    """The absolute difference, averaged over the channels, in 8-bit levels: (h, w)."""
    return np.abs(sr.astype(np.float64) - hr).mean(axis=-1)


def cividis(values: NDArray[np.float64]) -> Pixels:
    """Colours of values in [0, 1]; what lies outside is clipped."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in CIVIDIS.split()], dtype=np.float64)
    places = np.linspace(0, 1, len(anchors))
    channels = [np.interp(values.clip(0, 1), places, anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def draw_sheet(title: str, examples: Sequence[Example]) -> Pixels:
    """Put examples below each other, every column under its label, with the scale of the error maps at the bottom.

    Args:
        title: stands on top.
        examples: at least one; a column that an example lacks stays empty in its row.

    Returns:
        uint8 (H, W, 3).
    """
    labels = list(dict.fromkeys(label for example in examples for label in example.panels))
    panels = [{label: _enlarged(panel) for label, panel in example.panels.items()} for example in examples]
    width = max(panel.width for row in panels for panel in row.values())
    heights = [max(panel.height for panel in row.values()) for row in panels]
    top = 2 * (GAP + LINE)
    size = (GAP + len(labels) * (width + GAP), top + sum(heights) + len(examples) * (LINE + GAP) + LINE + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    draw.text((GAP, GAP), shortened(title, size[0] - 2 * GAP, font), INK, font)
    lefts = {label: GAP + place * (width + GAP) for place, label in enumerate(labels)}
    for label, left in lefts.items():
        draw.text((left, top - LINE), label, INK, font)
    for example, row, height in zip(examples, panels, heights, strict=True):
        for label, panel in row.items():
            sheet.paste(panel, (lefts[label], top))
            draw.text(
                (lefts[label], top + height + 3), shortened(example.notes.get(label, ""), width, font), PALE, font
            )
        top += height + LINE + GAP
    if "error" in lefts:
        _draw_scale(sheet, lefts["error"] + width, top, draw, font)
    return np.asarray(sheet)


def shortened(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of the end of a text as fits, after three dots: the ends of paths tell most."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"


def _enlarged(panel: Pixels) -> Image.Image:
    image = Image.fromarray(panel)
    times = max(1, PANEL // max(image.size))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _draw_scale(
    sheet: Image.Image,
    right: int,
    top: int,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    length, unit = 128, f"{LARGEST_ERROR} or more of 255"
    left = right - int(font.getlength(unit)) - GAP // 2 - length
    bar = np.broadcast_to(cividis(np.linspace(0, 1, length)), (12, length, 3))
    sheet.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, top + 3))
    draw.text((left + length + GAP // 2, top), unit, PALE, font)
    start = "error = |SR - HR|, mean of R, G, B: 0"
    draw.text((left - font.getlength(start) - GAP // 2, top), start, PALE, font)
