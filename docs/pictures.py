"""Details of several pictures side by side, for the README and the pages beside this file.

    python docs/pictures.py OUT.png --crop LEFT,TOP,WIDTH,HEIGHT [--zoom 3] [--lr 4] LABEL=FILE ... HR=FILE

`--lr N` puts in front what the network was given: the picture labelled HR, shrunk N times by MATLAB's bicubic, in large
pixels, and beside it its bicubic enlargement.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sr_experiments.data.images import read_image, write_png
from sr_experiments.degradations import Bicubic, bicubic_upsample
from sr_experiments.pixels.eightbit import to_pixels

LABEL_HEIGHT = 26


def low_resolution(hr: np.ndarray, scale: int) -> dict[str, np.ndarray]:
    """LR in large pixels and its bicubic enlargement, both (H, W, 3) uint8."""
    height, width = (side // scale * scale for side in hr.shape[:2])
    image = torch.from_numpy(hr[:height, :width].transpose(2, 0, 1).copy())[None].float() / 255
    lr = Bicubic(scale)(image)
    large = lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return {"LR": to_pixels(large[0]), "bicubic": to_pixels(bicubic_upsample(lr, scale=scale)[0])}


def tile(label: str, pixels: np.ndarray, box: tuple[int, int, int, int], zoom: int) -> Image.Image:
    """One labelled detail."""
    left, top, width, height = box
    detail = Image.fromarray(pixels).crop((left, top, left + width, top + height))
    canvas = Image.new("RGB", (width * zoom, height * zoom + LABEL_HEIGHT), "white")
    canvas.paste(detail.resize((width * zoom, height * zoom), Image.Resampling.NEAREST), (0, LABEL_HEIGHT))
    ImageDraw.Draw(canvas).text((4, 3), label, fill="black", font=ImageFont.load_default(18))
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("pictures", nargs="+", metavar="LABEL=FILE")
    parser.add_argument("--crop", required=True)
    parser.add_argument("--zoom", type=int, default=3)
    parser.add_argument("--lr", type=int, metavar="N")
    arguments = parser.parse_args()

    named = dict(picture.split("=", 1) for picture in arguments.pictures)
    pictures = {label: read_image(file) for label, file in named.items()}
    if arguments.lr:
        pictures = {**low_resolution(pictures["HR"], arguments.lr), **pictures}
    box = tuple(int(number) for number in arguments.crop.split(","))
    tiles = [tile(label, pixels, box, arguments.zoom) for label, pixels in pictures.items()]
    gap = 6
    width = sum(image.width for image in tiles) + gap * (len(tiles) - 1)
    strip = Image.new("RGB", (width, tiles[0].height), "white")
    left = 0
    for image in tiles:
        strip.paste(image, (left, 0))
        left += image.width + gap
    write_png(arguments.out, np.asarray(strip))


if __name__ == "__main__":
    main()
