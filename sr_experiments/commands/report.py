"""`sr-report`: one page to review many runs, made from their run folders."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sr_experiments.errors import UserError, exit_with_message


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the page of the folders named on the command line; returns the exit code."""
    return exit_with_message(lambda: _run(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sr-report",
        description="Draw a page of all runs below some folders: ranking, trade-offs, curves, images, differences and "
        "failures. It opens from disk without a network, and may be drawn while runs are going on.",
    )
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="run folders, or folders of run folders"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the page; default: report.html in the folder, or here where there are several",
    )
    parser.add_argument(
        "--embed",
        action="store_true",
        help="put all images into the page, so that it can be sent as one file; else it shows those in the run folders",
    )
    parser.add_argument("--title", help="what stands on top; default: the name of the folder")
    parser.add_argument(
        "--wandb",
        metavar="ENTITY/PROJECT",
        help="also save a view of these runs in that project of Weights & Biases, where `wandb sync` has put them",
    )
    return parser


def _run(args: argparse.Namespace) -> int:
    # Only now, so that --help and a mistyped option answer at once.
    from sr_experiments.report.page import build_page
    from sr_experiments.report.read import find_runs

    if args.wandb:
        from sr_experiments.report.workspace import check_target, save_workspace

        check_target(args.wandb)
    started = time.monotonic()
    runs, notes = find_runs(args.folders)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if not runs:
        raise UserError("No run was found, so there is nothing to report: name a run folder or a folder of them.")
    alone = args.folders[0] if len(args.folders) == 1 else None
    path = args.output or (alone / "report.html" if alone else Path("report.html"))
    title = args.title or (alone.resolve().name if alone else f"{len(runs)} runs")
    try:
        # Not the target of a link of the page's name, which a foreign folder may hold.
        build_page(runs, notes, path.parent.resolve() / path.name, title, args.embed)
    except OSError as error:
        raise UserError(f"The page {path} cannot be written: {error.strerror or error}.") from error
    size = path.stat().st_size / 1e6
    print(f"{len(runs)} runs in {time.monotonic() - started:.1f} s, {size:.1f} MB: {path}")
    if args.embed and size > 50:
        print("note: a page of this size opens slowly; without --embed it shows the images in the run folders.")
    if args.wandb:
        print(f"View in W&B: {save_workspace(runs, args.wandb, title)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
