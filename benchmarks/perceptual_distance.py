"""VGG19 feature distance of folders of upscaled images to their originals, on layers that no loss here trains on.

    python benchmarks/perceptual_distance.py HR_DIR SR_DIR [SR_DIR ...] --weights VGG19_FILE [--layers relu3_3 relu4_3]

As in LPIPS (Zhang et al., CVPR 2018) features are scaled to unit length over their channels before they are compared;
unlike LPIPS nothing is learned on top: the squared differences are summed over channels and averaged over positions,
layers and images. EnhanceNet's losses look at relu1_1, relu2_1, relu3_1, pool2 and pool5.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from sr_experiments.commands.score import pair_by_name
from sr_experiments.data.images import find_images, read_image
from sr_experiments.features.feature_network import FeatureNetwork


def unit_features(
    network: FeatureNetwork, file: Path, layers: list[str], like: torch.Size | None
) -> dict[str, torch.Tensor]:
    pixels = read_image(file)
    if like is not None:
        pixels = pixels[: like[0], : like[1]]
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    return {name: torch.nn.functional.normalize(value, dim=1) for name, value in network(image, layers).items()}


@torch.no_grad()
def distance(network: FeatureNetwork, sr: Path, hr: Path, layers: list[str]) -> float:
    size = read_image(sr).shape[:2]
    ours = unit_features(network, sr, layers, None)
    theirs = unit_features(network, hr, layers, torch.Size(size))
    return sum(float(((ours[name] - theirs[name]) ** 2).sum(1).mean()) for name in layers) / len(layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hr")
    parser.add_argument("sr", nargs="+")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--layers", nargs="+", default=["relu3_3", "relu4_3"])
    arguments = parser.parse_args()
    network = FeatureNetwork("vgg19", weights=arguments.weights)
    originals = find_images(arguments.hr)
    table = Table("folder", "distance")
    for folder in arguments.sr:
        pairs = pair_by_name(find_images(folder), originals)
        values = [distance(network, sr, hr, arguments.layers) for sr, hr in pairs]
        table.add_row(folder, f"{sum(values) / len(values):.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
