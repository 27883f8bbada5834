"""A training's scores over its updates, with published numbers as dashed lines, for the pages beside this file.

    python docs/curve.py OUT.png RUN/metrics.csv[,NEXT/metrics.csv] val/Set5/psnr=33.18 val/Set14/psnr=29.37

Every COLUMN=NUMBER is a curve of that column and a line at that number. A training in several stages has a file each.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sr_experiments.data.images import write_png
from sr_experiments.errors import UserError
from sr_experiments.report.curves import read_curves

SIZE = (960, 540)
LEFT, TOP, RIGHT, BOTTOM = 70, 20, 40, 60  # margins
FINER = 3  # drawn larger, then shrunk: smooth lines
COLOURS = ("#1f6fb4", "#d1651a", "#3a8f3a", "#8a4fa8")
Point = tuple[float, float]


class Chart:
    """Axes of updates and PSNR, on which curves are drawn.

    Args:
        steps: the last update.
        low: the lowest value shown, a whole number.
        high: the highest, likewise.
    """

    def __init__(self, steps: float, low: int, high: int) -> None:
        self.steps, self.low, self.high = steps, low, high
        self.image = Image.new("RGB", (SIZE[0] * FINER, SIZE[1] * FINER), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(17 * FINER)
        for value in range(low, high + 1):
            self.line([(0, value), (steps, value)], "#d8d8d8")
            self.text((0, value), str(value), (-12, 0), "rm")
        for step in range(0, int(steps) + 1, nice(steps / 5)):
            self.text((step, low), f"{step:,}", (0, 10), "mt")
        self.text((steps / 2, low), "generator updates; PSNR on Y in dB", (0, 34), "mt")

    def at(self, point: Point) -> Point:
        """Where a step and a value lie in the picture."""
        x = LEFT + point[0] / self.steps * (SIZE[0] - LEFT - RIGHT)
        y = TOP + (self.high - point[1]) / (self.high - self.low) * (SIZE[1] - TOP - BOTTOM)
        return x * FINER, y * FINER

    def line(self, points: list[Point], colour: str, width: int = 1) -> None:
        """Join points."""
        self.draw.line([self.at(point) for point in points], colour, width * FINER, joint="curve")

    def dashed(self, value: float, colour: str) -> None:
        """A line across the chart."""
        for start in np.arange(0, self.steps, self.steps / 80):
            self.line([(start, value), (start + self.steps / 160, value)], colour, 2)

    def text(self, point: Point, words: str, offset: Point, anchor: str, colour: str = "black") -> None:
        """Words beside a point, `offset` in pixels."""
        x, y = self.at(point)
        self.draw.text((x + offset[0] * FINER, y + offset[1] * FINER), words, colour, self.font, anchor)


def nice(step: float) -> int:
    """The round number nearest to a distance of ticks: 1, 2 or 5 and zeros."""
    power = 10 ** math.floor(math.log10(max(step, 1)))
    return int(min((1, 2, 5, 10), key=lambda factor: abs(factor * power - step)) * power)


def joined(files: str) -> dict[str, list[Point]]:
    """Column -> points of all stages, one behind the other."""
    points: dict[str, list[Point]] = {}
    done = 0.0
    for file in files.split(","):
        notes: list[str] = []
        stage = read_curves(Path(file), notes)
        if not stage:
            raise UserError(f"{file} holds no curves. {' '.join(notes)}")
        for column, (steps, values) in stage.items():
            points.setdefault(column, []).extend(
                (done + step, value) for step, value in zip(steps, values, strict=True)
            )
        done += max(steps[-1] for steps, _ in stage.values())
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("metrics")
    parser.add_argument("curves", nargs="+", metavar="COLUMN=NUMBER")
    arguments = parser.parse_args()

    published = {column: float(number) for column, number in (curve.rsplit("=", 1) for curve in arguments.curves)}
    found = joined(arguments.metrics)
    missing = [column for column in published if column not in found]
    if missing:
        raise UserError(f"{arguments.metrics} has no {missing[0]}.")
    values = [value for column in published for value in (*(y for _, y in found[column]), published[column])]
    steps = max(found[column][-1][0] for column in published)
    chart = Chart(steps, math.floor(min(values)), math.ceil(max(values)))
    for (column, number), colour in zip(published.items(), COLOURS, strict=False):
        chart.line(found[column], colour, 3)
        chart.dashed(number, colour)
        name = column.removeprefix("val/").removesuffix("/psnr")
        chart.text((steps, number), f"{name}, published: {number:.2f}", (0, -6), "rb", colour)
    write_png(arguments.out, np.asarray(chart.image.resize(SIZE, Image.Resampling.LANCZOS)))


if __name__ == "__main__":
    main()
