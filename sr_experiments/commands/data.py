"""`sr-data`: look at a folder of photographs, decode it ahead of a training, or write its LR images."""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sr_experiments.errors import UserError, exit_with_message

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

T = TypeVar("T")
R = TypeVar("R")

_KINDS = ("bicubic", "pillow_bicubic", "pillow_lanczos")
_WORKERS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 when `check` found something wrong, 2 for a user's error."""
    options = _parser().parse_args(argv)
    return exit_with_message(lambda: options.run(options))


def check(options: argparse.Namespace) -> int:
    """Read every image of a folder and tell what a training would stumble over.

    Returns:
        1 if an image is unreadable, smaller than the crop or shares its name with another; else 0.
    """
    from rich.console import Console

    from sr_experiments.data.images import find_images

    paths = find_images(options.folder)
    console = Console()
    problems: list[str] = []
    sizes: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    for path, (mode, size, problem) in zip(paths, _in_threads(_inspect, paths, "Reading"), strict=True):
        if problem is not None:
            problems.append(problem)
            continue
        sizes.append(size)
        modes[mode] += 1
        if min(size) < options.crop:
            problems.append(f"{path} is {size[1]}x{size[0]} pixels, smaller than a crop of {options.crop} pixels.")
        elif min(size) < options.scale:
            problems.append(f"{path} is {size[1]}x{size[0]} pixels, too small for x{options.scale}.")
    problems += _shared_names(paths)
    _summarise(console, options.folder, sizes, modes, len(paths))
    for problem in problems:
        console.print(problem, style="red", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{len(problems)} problems found." if problems else "Nothing wrong.", highlight=False)
    return 1 if problems else 0


def cache(options: argparse.Namespace) -> int:
    """Decode a folder of photographs now, so that the first training begins at once."""
    from sr_experiments.data.cache import Cache
    from sr_experiments.data.photos import hr_folder

    photos = hr_folder(options.folder)
    store = Cache(options.cache_dir)
    decoded = store.build([photo.hr for photo in photos], options.workers)
    print(f"{len(photos)} photographs are in {store.folder}, {decoded} of them decoded just now.")
    return 0


def low_resolution(options: argparse.Namespace) -> int:
    """Write the LR image of every photograph below a folder, under the same relative names, as PNG."""
    import torch

    from sr_experiments.data.evaluation import EvaluationImages
    from sr_experiments.data.images import write_png
    from sr_experiments.data.photos import hr_folder

    photos = hr_folder(options.folder)
    if options.out.resolve().is_relative_to(options.folder.resolve()):
        raise UserError(
            f"{options.out.absolute()} lies in the folder of the photographs, where LR images would be taken for HR; "
            "name a folder outside of it."
        )
    images = EvaluationImages(photos, options.scale)
    degradation = _degradation(options.kind, options.scale)

    def write(index: int) -> None:
        item = images[index]
        with torch.inference_mode():
            lr = degradation(item["hr"][None].float() / 255)[0]
        pixels = (lr.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        write_png(options.out / f"{item['name']}.png", pixels[..., :1] if item["gray"] else pixels)

    for _ in _in_threads(write, range(len(photos)), "Writing"):
        pass
    print(f"{len(photos)} LR images at x{options.scale} written to {options.out.absolute()}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sr-data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("check", help="read every image and report what a training would stumble over")
    command.add_argument("folder", type=Path, help="folder of photographs; every depth is searched")
    command.add_argument("--crop", type=_positive, default=1, help="HR pixels a side of a training crop")
    command.add_argument("--scale", type=_positive, default=1, help="the enlargement")
    command.set_defaults(run=check)

    command = commands.add_parser("cache", help="decode the photographs now, ahead of a training")
    command.add_argument("folder", type=Path, help="folder of photographs; every depth is searched")
    command.add_argument("--cache-dir", type=Path, help="where to put them (default: $SR_CACHE or the user's cache)")
    command.add_argument("--workers", type=_positive, default=_WORKERS, help="decoding threads (default: %(default)s)")
    command.set_defaults(run=cache)

    command = commands.add_parser("lr", help="write the LR image of every photograph")
    command.add_argument("folder", type=Path, metavar="HR_DIR", help="folder of photographs; every depth is searched")
    command.add_argument("out", type=Path, metavar="OUT_DIR", help="folder for the LR images")
    command.add_argument("--scale", type=_positive, required=True, help="the enlargement to train for: 2, 3, 4, 8")
    command.add_argument("--kind", choices=_KINDS, default="bicubic", help="how to shrink (default: %(default)s)")
    command.set_defaults(run=low_resolution)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


_positive.__name__ = "number"  # argparse shows it: "invalid number value: 'x'"


def _inspect(path: Path) -> tuple[str, tuple[int, int], str | None]:
    from sr_experiments.data.images import read_header, read_image

    try:
        mode = read_header(path).mode
        height, width, _ = read_image(path).shape
    except UserError as error:
        return "", (0, 0), str(error)
    return mode, (height, width), None


def _shared_names(paths: Iterable[Path]) -> list[str]:
    files: dict[Path, list[str]] = defaultdict(list)
    for path in paths:
        files[path.with_suffix("")].append(path.name)
    return [
        f"{' and '.join(names)} in {stem.parent.absolute()} share one name; rename or remove one of them."
        for stem, names in files.items()
        if len(names) > 1
    ]


def _summarise(console: Console, folder: Path, sizes: list[tuple[int, int]], modes: Counter[str], count: int) -> None:
    from rich.table import Table

    table = Table(title=f"{count} images in {folder.absolute()}", title_justify="left", show_header=False)
    table.add_row("readable", str(len(sizes)))
    if sizes:
        by_area = sorted(sizes, key=lambda size: size[0] * size[1])
        for label, (height, width) in zip(
            ("smallest", "median", "largest"), (by_area[0], by_area[len(by_area) // 2], by_area[-1]), strict=True
        ):
            table.add_row(label, f"{width}x{height}")
        table.add_row("shortest side", str(min(map(min, sizes))))
        table.add_row("modes", ", ".join(f"{mode}: {number}" for mode, number in modes.most_common()))
    console.print(table)


def _in_threads(work: Callable[[T], R], items: Sequence[T], text: str) -> Iterable[R]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            results = pool.map(work, items)
            yield from track(results, text, len(items), console=console, disable=not console.is_terminal)
        finally:
            pool.shutdown(cancel_futures=True)


def _degradation(kind: str, scale: int) -> nn.Module:
    from sr_experiments.degradations import Bicubic, PillowResize

    kinds: dict[str, nn.Module] = {
        "bicubic": Bicubic(scale),
        "pillow_bicubic": PillowResize(scale, "bicubic"),
        "pillow_lanczos": PillowResize(scale, "lanczos"),
    }
    return kinds[kind]


if __name__ == "__main__":
    sys.exit(main())
