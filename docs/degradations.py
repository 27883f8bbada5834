"""What every degradation of `conf/degradation` makes of one photograph, for the page beside this file.

    python docs/degradations.py OUT.png [--photo FILE] [--crop LEFT,TOP,SIDE] [--scale 4] [--columns 6]

LR is shown in large pixels. Degradations that draw are shown for three samples, with the keys 1, 2 and 3. Without
`--photo` it is a photograph that scikit-image carries.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pictures import tile
from PIL import Image

from sr_experiments.app.config import conf_dir
from sr_experiments.data.images import read_image, write_png
from sr_experiments.data.sample import test_photographs
from sr_experiments.degradations import Degradation
from sr_experiments.pixels.eightbit import to_pixels

GAP = 6
KEYS = torch.tensor([1, 2, 3])


def shipped(scale: int) -> dict[str, Degradation]:
    """Name -> degradation, those that draw nothing first."""
    found = {}
    for file in sorted((conf_dir() / "degradation").glob("*.yaml")):
        found[file.stem] = instantiate(OmegaConf.create({"scale": scale, "part": OmegaConf.load(file)}).part)
    return dict(sorted(found.items(), key=lambda item: bool(item[1].drawn(KEYS))))


def results(hr: torch.Tensor, scale: int) -> dict[str, np.ndarray]:
    """Label -> pixels of HR (1, 3, H, W) and of every LR."""
    pictures = {"HR": to_pixels(hr[0])}
    for name, degrade in shipped(scale).items():
        keys = KEYS if degrade.drawn(KEYS) else KEYS[:1]
        for key, lr in zip(keys.tolist(), degrade(hr.expand(len(keys), -1, -1, -1), keys), strict=True):
            pictures[f"{name} {key}" if len(keys) > 1 else name] = to_pixels(lr)
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--photo")
    parser.add_argument("--crop", default="120,24,192")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--columns", type=int, default=6)
    arguments = parser.parse_args()

    left, top, side = (int(number) for number in arguments.crop.split(","))
    pixels = read_image(arguments.photo or test_photographs()[1].hr)[top : top + side, left : left + side]
    hr = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    tiles = []
    for label, picture in results(hr, arguments.scale).items():
        height, width = picture.shape[:2]
        tiles.append(tile(label, picture, (0, 0, width, height), max(side // width, 1)))
    width, height = (max(image.size[axis] for image in tiles) + GAP for axis in (0, 1))
    rows = -(-len(tiles) // arguments.columns)
    sheet = Image.new("RGB", (width * min(arguments.columns, len(tiles)) - GAP, height * rows - GAP), "white")
    for index, image in enumerate(tiles):
        sheet.paste(image, (index % arguments.columns * width, index // arguments.columns * height))
    write_png(arguments.out, np.asarray(sheet))


if __name__ == "__main__":
    main()
