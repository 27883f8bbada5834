"""The table of networks: in a terminal of any width, and as a page of Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from sr_experiments.app.networks import SETS, Published, Row

WIDE = 112  # columns of a terminal that has room for SSIM and the year

NOTES = """\
Counted on the networks as their options build them, that is on RGB. Multiply-adds: convolutions and matrix products
for a picture of 1280x720, interpolation by fixed weights left out. Receptive field: LR pixels a side, fixed
enlargement included; in brackets, for networks behind one, pixels of the enlarged image, as their papers state it.
"""
OF_SCORES = "PSNR (dB) / SSIM on luma, as published; the sources: sr-models --markdown."
PAGE = """\
# The networks

`sr-models --scale {scale} --markdown` prints this page. Other scales and JSON: `sr-models --scale 2 --json`.

## Size and reach at x{scale}

{notes}
The papers' columns: parameters as a paper or its authors' code counts them, which for older networks is weights alone,
on luma; for MDSR and CARN it is one network for x2, x3 and x4, as here. Multiply-adds as CARN's table has them: on luma
for older networks, and a transposed convolution counted as if it were computed at every output pixel.

{sizes}

## Published numbers at x{scale}

PSNR (dB) / SSIM on luma with {scale} pixels cut from every side, LR images by MATLAB's bicubic interpolation. They are
the papers', not measured here; those called unchecked were not compared with the published table itself.

{scores}
"""


def short(number: float | None) -> str:
    """A number in three digits and a unit: 1.59M; `-` for none."""
    if number is None:
        return "-"
    units = iter(("", "K", "M", "G", "T", "P"))
    unit = next(units)
    while number >= 999.5:
        number, unit = number / 1000, next(units)
    return f"{number:.3g}{unit}"


def field_of(row: Row) -> str:
    """The receptive field in LR pixels and, where a network stands behind a fixed enlargement, in enlarged ones."""
    if row.field.lr is None:
        return "all"
    return str(row.field.lr) if row.field.enlarged is None else f"{row.field.lr} ({row.field.enlarged})"


def score_of(published: Published, name: str, with_ssim: bool) -> str:
    """What is published on a test set."""
    text = published.scores.get(name, "-")
    return text if with_ssim else text.partition("/")[0]


def print_table(rows: Sequence[Row], left_out: dict[str, str], scale: float, console: Console | None = None) -> None:
    """Print the table with as many columns as the terminal has room for."""
    console = console or Console()
    wide = console.width >= WIDE
    table = Table(title=f"Networks at x{scale}", box=None, padding=(0, 2 if wide else 1, 0, 0), header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("framework", no_wrap=True)
    sets = SETS if wide else (*SETS[:-1], "U100")
    for heading in (*(["year"] if wide else []), "params", "m-adds", "field", *sets):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        year = [str(row.published.year or "-")] if wide else []
        costs = [short(row.parameters), short(row.multiply_adds), field_of(row)]
        scores = [score_of(row.published, name, with_ssim=wide) for name in SETS]
        table.add_row(row.name, row.framework, *year, *costs, *scores)
    console.print(table)
    console.print(f"\n{NOTES}{OF_SCORES}".replace("\n", " ").strip(), highlight=False)
    for name, reason in left_out.items():
        console.print(f"Not listed, {name}: {reason}", highlight=False, markup=False)


def markdown(rows: Sequence[Row], left_out: dict[str, str], scale: float) -> str:
    """The table as a page of its own, with the papers' counts beside those made here."""
    sizes = [["model", "framework", "year", "parameters", "the paper's", "multiply-adds", "the paper's", "field"]]
    scores = [["model", *SETS, "paper", "numbers from"]]
    for row in rows:
        said = row.published
        counts = [f"{row.parameters:,}", "-" if said.parameters is None else f"{said.parameters:,}"]
        costs = [short(row.multiply_adds), short(said.multiply_adds), field_of(row)]
        sizes.append([f"`{row.name}`", row.framework, str(said.year or "-"), *counts, *costs])
        if said.paper is not None:
            source = "; ".join(filter(None, (said.source, said.remark))) or "-"
            each = [score_of(said, name, with_ssim=True) for name in SETS]
            scores.append([f"`{row.name}`", *each, linked(said.paper), source])
    page = PAGE.format(scale=scale, notes=NOTES, sizes=as_table(sizes, 3), scores=as_table(scores, 1, SETS))
    if left_out:
        page += "\n## Not listed\n\n" + "".join(f"- `{name}`: {why}\n" for name, why in left_out.items())
    return page


def linked(paper: str) -> str:
    """A paper with its arXiv number as a link."""
    return re.sub(r"arXiv (\d+\.\d+)", r"[arXiv \1](https://arxiv.org/abs/\1)", paper)


def as_table(rows: Sequence[Sequence[str]], texts: int, numbers: Sequence[str] = ()) -> str:
    """Rows, the first of them headings, as a Markdown table with `texts` columns of text before those of numbers."""
    head, *body = rows
    right = [(not numbers and k >= texts) or heading in numbers for k, heading in enumerate(head)]
    lines = [head, ["---:" if each else "---" for each in right], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
