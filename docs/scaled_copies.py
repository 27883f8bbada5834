"""Smaller copies of photographs, as FSRCNN's paper adds them to its training set.

    python docs/scaled_copies.py PHOTOGRAPHS OUT 0.9 0.8 0.7 0.6

The copies at 0.9 are in OUT/0.9, and so on, made by MATLAB's bicubic interpolation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from sr_experiments.data.images import find_images, read_image, write_png
from sr_experiments.pixels.imresize import imresize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", help="folder of images")
    parser.add_argument("out", type=Path, help="folder for the copies")
    parser.add_argument("scales", nargs="+", help="their sizes, as parts of the whole")
    arguments = parser.parse_args()
    for file in find_images(arguments.photographs):
        image = torch.from_numpy(read_image(file)).permute(2, 0, 1)[None].float() / 255
        for scale in arguments.scales:
            small = imresize(image, scale=float(scale), rounding="final")
            pixels = (small[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            write_png(arguments.out / scale / f"{file.stem}.png", pixels)


if __name__ == "__main__":
    main()
