"""The photographs behind the numbers: originals, their bicubic enlargement, and where the runs' images differ."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_experiments.app.parts import make_part
from sr_experiments.data.images import read_image, write_png
from sr_experiments.errors import UserError
from sr_experiments.pixels.below import below
from sr_experiments.report.disagreement import find_crops
from sr_experiments.report.read import Run
from sr_experiments.runs.plain import followed, resolved

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

# The largest number of runs whose images are compared; more would make the page of a large sweep slow to build.
COMPARED = 12


def find_originals(run: Run) -> dict[str, dict[str, Path]]:
    """Find the photographs that a run was tested on: set -> name -> file; sets that are not found are left out."""
    sets = run.config.get("data", {}).get("sets")
    entries: list[tuple[str, Any]] = []
    for entry in [sets] if isinstance(sets, dict) else sets if isinstance(sets, list) else []:
        entries += entry.items() if isinstance(entry, dict) else [(str(entry), str(entry))]
    found = {}
    for name, source in entries:
        try:
            found[str(name)] = {photo.name: photo.hr for photo in _photos(run, source)}
        except (UserError, OSError, ValueError) as error:
            log.info("%s: no originals of %s: %s", run.label, name, error)
    return found


def _photos(run: Run, source: Any) -> Sequence[Any]:
    from sr_experiments.data.photos import benchmark_set

    if isinstance(source, str):
        root = resolved(run.config, "data.root")
        if root is None:
            return []
        return benchmark_set(Path(run.cwd or ".") / Path(str(root)).expanduser(), source, int(run.scale))
    return make_part(followed(run.config, source), "data", "a run folder")


def degradation_of(run: Run) -> nn.Module | None:
    """The degradation of a run; None where its config does not say it in plain values."""
    part = run.config.get("degradation")
    if not isinstance(part, dict):
        return None
    try:
        return make_part(followed(run.config, part), "degradation", "a run folder")
    except (UserError, ValueError) as error:
        log.info("%s: no bicubic images: %s", run.label, error)
        return None


def cut_to_scale(path: Path, scale: int) -> NDArray[np.uint8]:
    """Read an original as it was scored: cut to multiples of the scale at the bottom and at the right."""
    pixels = read_image(path)
    height, width = (side // scale * scale for side in pixels.shape[:2])
    return pixels[:height, :width]


def enlarge_bicubically(pixels: NDArray[np.uint8], degradation: nn.Module) -> NDArray[np.uint8]:
    """Enlarge an original's LR image by bicubic interpolation."""
    import torch

    from sr_experiments.degradations import bicubic_upsample
    from sr_experiments.pixels.eightbit import to_pixels

    hr = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return to_pixels(
            bicubic_upsample(degradation(hr, torch.zeros(1, dtype=torch.int64)), size=(hr.shape[-2], hr.shape[-1]))[0]
        )


def write_anchors(
    runs: Sequence[Run], wanted: dict[str, Sequence[str]], folder: Path
) -> tuple[dict[str, dict[str, Path]], dict[str, dict[str, Path]]]:
    """Write originals and bicubic images as PNG files that a browser shows.

    Args:
        runs: of one scale; the first that names its originals decides.
        wanted: set -> names of images.
        folder: where `HR/SET/NAME.png` and `bicubic/SET/NAME.png` are made.

    Returns:
        The files of the originals, and those of the bicubic images: set -> name -> file; without those that cannot
        be had.
    """
    originals: dict[str, dict[str, Path]] = {}
    bicubic: dict[str, dict[str, Path]] = {}
    for run in runs:
        missing = {name: images for name, images in wanted.items() if name not in originals}
        found = find_originals(run) if missing else {}
        degradation = degradation_of(run) if missing.keys() & found.keys() else None
        for name in missing.keys() & found.keys():
            for image in missing[name]:
                if image not in found[name]:
                    continue
                try:
                    path = below(folder / "HR", f"{name}/{image}", ".png")
                    pixels = cut_to_scale(found[name][image], int(run.scale))
                    write_png(path, pixels)
                    originals.setdefault(name, {})[image] = path
                    if degradation is not None:
                        path = below(folder / "bicubic", f"{name}/{image}", ".png")
                        write_png(path, enlarge_bicubically(pixels, degradation))
                        bicubic.setdefault(name, {})[image] = path
                except UserError as error:
                    log.info("%s", error)
    return originals, bicubic


def compare_images(files: dict[tuple[str, str], list[Path]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Find where the images of several runs differ, photograph by photograph.

    Args:
        files: (set, name) -> the runs' files.

    Returns:
        (set, name) -> `size` [width, height], `crops` [x, y, side, deviation], and the number of runs `compared`.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(files, pool.map(_compared, files.values()), strict=True))


def _compared(paths: list[Path]) -> dict[str, Any]:
    images = []
    for path in spread_out(paths, COMPARED):
        try:
            with Image.open(path, formats=("PNG",)) as image:
                images.append(np.asarray(image.convert("L")))
        except Exception as error:  # decoders raise exceptions of every kind on damaged files
            log.info("%s cannot be read: %s", path, error)
    if not images:
        return {"size": None, "crops": [], "compared": 0}
    shape = images[0].shape
    same = [image for image in images if image.shape == shape]
    crops = find_crops(same) if len(same) > 1 else []
    return {"size": [shape[1], shape[0]], "crops": [list(crop) for crop in crops], "compared": len(same)}


def spread_out(items: Sequence[Path], count: int) -> list[Path]:
    """At most `count` items, evenly from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]
