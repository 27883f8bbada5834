"""`sr-models`: the networks beside each other, what they cost, how far they see, and what is published of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sr_experiments.errors import exit_with_message

if TYPE_CHECKING:
    from sr_experiments.app.networks import Published, Row


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    return exit_with_message(lambda: _run(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sr-models",
        description="List the networks, as in model=NAME, with what they cost, how far they see and what is published "
        "of them. Parameters, multiply-adds and receptive fields are counted on the networks themselves.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these networks; default: all")
    parser.add_argument("--scale", type=_scale, default=4, metavar="N", help="the enlargement; default 4")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, for programs")
    form.add_argument("--markdown", action="store_true", help="print a page of Markdown, as docs/models.md")
    return parser


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 1 < scale <= 16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 1 and up to 16")
    return int(scale) if scale.is_integer() else scale


def _run(args: argparse.Namespace) -> int:
    from sr_experiments.app.networks import overview

    rows, left_out = overview(args.names, args.scale, sys.stderr)
    if args.json:
        print(json.dumps(as_json(rows, left_out, args.scale), indent=2))
        return 0
    from sr_experiments.report import models_table

    if args.markdown:
        print(models_table.markdown(rows, left_out, args.scale), end="")
    else:
        models_table.print_table(rows, left_out, args.scale)
    return 0


def as_json(rows: Sequence[Row], left_out: dict[str, str], scale: float) -> dict[str, Any]:
    """The table for programs: plain numbers, null where there is none."""
    from sr_experiments.app.networks import HEIGHT, WIDTH

    def scores(published: Published) -> dict[str, dict[str, float | None]]:
        parts = {name: text.partition("/") for name, text in published.scores.items()}
        return {n: {"psnr": float(psnr), "ssim": float(ssim) if ssim else None} for n, (psnr, _, ssim) in parts.items()}

    models = [
        {
            "name": row.name,
            "framework": row.framework,
            "year": row.published.year,
            "paper": row.published.paper,
            "parameters": row.parameters,
            "multiply_adds": row.multiply_adds,
            "receptive_field": {
                "lr_pixels": row.field.lr,
                "enlarged_pixels": row.field.enlarged,
                "whole_image": row.field.lr is None,
            },
            "published": {
                "parameters": row.published.parameters,
                "multiply_adds": row.published.multiply_adds,
                "scores": scores(row.published),
                "source": row.published.source,
                "remark": row.published.remark,
            },
        }
        for row in rows
    ]
    return {"scale": scale, "picture": [WIDTH, HEIGHT], "models": models, "left_out": left_out}


if __name__ == "__main__":
    sys.exit(main())
