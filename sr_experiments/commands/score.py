"""`sr-score`: PSNR and SSIM of a folder of upscaled images, whatever program made them."""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sr_experiments.errors import UserError, exit_with_message

if TYPE_CHECKING:
    from torch import Tensor

    from sr_experiments.metrics import Protocol

Scores = dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Score the folders named on the command line; returns the exit code."""
    return exit_with_message(lambda: _run(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sr-score",
        description="Measure PSNR and SSIM of upscaled images. Images pair by name: baby.png, baby_x4.png and "
        "baby_MODEL_x4.png all belong to baby.bmp. Originals may be larger by less than the scale; what is too much "
        "is cut at the bottom and on the right.",
    )
    parser.add_argument("sr_dir", type=Path, help="folder of upscaled images, one for each original")
    parser.add_argument("hr_dir", type=Path, help="folder of originals")
    parser.add_argument("--scale", type=_positive, required=True, metavar="N", help="the enlargement")
    parser.add_argument(
        "--protocol",
        choices=("y", "y_rounded", "rgb"),
        default="y",
        help="what is scored: luma (papers since EDSR), luma rounded to whole numbers (older ones) or RGB; default y",
    )
    parser.add_argument(
        "--gray",
        choices=("keep", "rgb"),
        default="keep",
        help="score gray originals on their gray values, or as RGB with equal channels; default keep",
    )
    parser.add_argument("--border", type=int, metavar="N", help="pixels cut from every side; default: the scale")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write protocol, means and scores per image to FILE")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    # Only now, so that --help and a mistyped option answer at once.
    from sr_experiments.data.images import find_images
    from sr_experiments.metrics import Protocol

    border = args.scale if args.border is None else args.border
    protocol = Protocol(channel=args.protocol, border=border, gray=args.gray)
    pairs = pair_by_name(find_images(args.sr_dir), find_images(args.hr_dir))
    images = {hr.stem: _score_pair(sr, hr, args.scale, protocol) for sr, hr in pairs}
    mean = {name: math.fsum(scores[name] for scores in images.values()) / len(images) for name in protocol.metrics}
    if args.json is not None:
        from sr_experiments.runs.results import write_json

        try:
            write_json(args.json, {"protocol": protocol.stamp(), "scale": args.scale, "mean": mean, "images": images})
        except OSError as error:
            raise UserError(f"cannot write {args.json}: {error.strerror}; choose another file.") from error
    _print_table(images, mean, protocol)
    return 0


def pair_by_name(sr_files: Iterable[Path], hr_files: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Pair upscaled images with their originals.

    An upscaled image belongs to the original of the same stem, or to the one with the longest stem that its own
    starts with, followed by `_`.

    Returns:
        (upscaled, original) for every original, in the order of the originals.

    Raises:
        UserError: an image on either side has no partner, or more than one.
    """
    originals: dict[str, Path] = {}
    for hr in hr_files:
        if hr.stem in originals:
            raise UserError(f"two originals are named {hr.stem}: {originals[hr.stem]} and {hr}; rename or remove one.")
        originals[hr.stem] = hr

    partners: dict[str, list[Path]] = defaultdict(list)
    strangers = []
    for sr in sr_files:
        matching = [stem for stem in originals if sr.stem == stem or sr.stem.startswith(f"{stem}_")]
        if matching:
            partners[max(matching, key=len)].append(sr)
        else:
            strangers.append(sr.name)
    # An unscored file is more likely a misspelt name than meant: a mean over fewer images must not pass unnoticed.
    if strangers:
        raise UserError(f"no original for {_listed(strangers)}; upscaled images must be named like their originals.")
    missing = [hr.name for stem, hr in originals.items() if stem not in partners]
    if missing:
        raise UserError(f"no upscaled image for {_listed(missing)}; every original needs one.")
    for stem, files in partners.items():
        if len(files) > 1:
            names = _listed([str(file) for file in files])
            raise UserError(f"more than one upscaled image of {originals[stem].name}: {names}; keep one.")
    return [(partners[stem][0], hr) for stem, hr in originals.items()]


def _score_pair(sr_file: Path, hr_file: Path, scale: int, protocol: Protocol) -> Scores:
    sr, hr = _load(sr_file), _load(hr_file)
    (height, width), (hr_height, hr_width) = sr.shape[1:], hr.shape[1:]
    if not (0 <= hr_height - height < scale and 0 <= hr_width - width < scale):
        raise UserError(
            f"{sr_file.name} has {width}x{height} pixels, but its original {hr_file.name} has {hr_width}x{hr_height}; "
            f"at scale {scale} the original may be larger by at most {scale - 1} pixels per axis, and never smaller."
        )
    try:
        return protocol.score(sr, hr[:, :height, :width])
    except UserError as error:
        raise UserError(f"{sr_file.name}: {error}") from error


def _load(file: Path) -> Tensor:
    """Read an image as (3, H, W), or (1, H, W) if the file is gray, in [0, 1]."""
    import torch

    from sr_experiments.data.images import read_image

    return torch.from_numpy(read_image(file, gray="keep")).permute(2, 0, 1).double() / 255


def _print_table(images: Mapping[str, Scores], mean: Scores, protocol: Protocol) -> None:
    from rich.console import Console
    from rich.table import Table

    stamp = ", ".join(f"{key} {value}" for key, value in protocol.stamp().items())
    table = Table(caption=stamp)
    table.add_column("image", overflow="fold")
    table.add_column("PSNR (dB)", justify="right", no_wrap=True)
    table.add_column("SSIM", justify="right", no_wrap=True)
    for name, scores in images.items():
        table.add_row(name, f"{scores['psnr']:.2f}", f"{scores['ssim']:.4f}")
    table.add_section()
    table.add_row(f"mean of {len(images)}", f"{mean['psnr']:.2f}", f"{mean['ssim']:.4f}", style="bold")
    Console().print(table)


def _listed(names: Sequence[str], limit: int = 10) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


if __name__ == "__main__":
    sys.exit(main())
