"""Training crops a second: from the decoded cache, and by decoding 2K PNG files each time.

    python benchmarks/crops.py [--photos 8] [--rounds 5] [--crop 96]

Both ways run in one process and take turns; the files of both are in the system's file cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sr_experiments.data import Photo, training_photographs
from sr_experiments.data.cache import Cache
from sr_experiments.data.crops import TrainingCrops
from sr_experiments.data.images import read_image, write_png
from sr_experiments.data.sampler import StepSampler

SIZE = 2040, 1356  # width and height of a typical DIV2K photograph


def make_photos(folder: Path, count: int) -> list[Photo]:
    """Enlarge sample photographs to 2K and add noise, without which PNG would compress them unusually well."""
    random = np.random.default_rng(0)
    samples = training_photographs()
    photos = []
    for number in range(count):
        pixels = Image.fromarray(read_image(samples[number % len(samples)].hr)).resize(SIZE, Image.Resampling.BICUBIC)
        noisy = np.asarray(pixels) + random.normal(0, 2, (SIZE[1], SIZE[0], 3))
        path = folder / f"{number:04}.png"
        write_png(path, noisy.round().clip(0, 255).astype(np.uint8))
        photos.append(Photo(path.stem, path))
    return photos


def decode_and_crop(photo: Photo, key: int, side: int) -> torch.Tensor:
    pixels = read_image(photo.hr)
    random = np.random.Generator(np.random.PCG64(key))
    top, left = random.integers(pixels.shape[0] - side + 1), random.integers(pixels.shape[1] - side + 1)
    return torch.from_numpy(np.ascontiguousarray(pixels[top : top + side, left : left + side].transpose(2, 0, 1)))


def crops_per_second(crop: Callable[[], object], seconds: float = 1.0) -> float:
    begin, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begin) < seconds:
        crop()
        done += 1
    return done / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crop", type=int, default=96)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder) / "photos", options.photos)
        cache = Cache(Path(folder) / "cache")
        cache.build([photo.hr for photo in photos])
        crops = TrainingCrops(photos, cache, scale=4, crop_size=options.crop)
        draws = (draw for batch in StepSampler(len(photos), 16, seed=0) for draw in batch)

        def from_cache() -> object:
            return crops[next(draws)]

        def from_png() -> object:
            draw = next(draws)
            return decode_and_crop(photos[draw.index], draw.key, options.crop)

        ratios = []
        print("cache [crops/s]   PNG [crops/s]   ratio")
        for _ in range(options.rounds):
            fast, slow = crops_per_second(from_cache), crops_per_second(from_png)
            ratios.append(fast / slow)
            print(f"{fast:15.0f} {slow:15.1f} {fast / slow:7.0f}")
        print(f"median ratio: {statistics.median(ratios):.0f}")


if __name__ == "__main__":
    main()
