"""What the filters of a VGG network make of photographs: measured once, kept, and divided out of the weights.

Gatys, Ecker and Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015, section 2: since ReLU and
pooling commute with positive factors, a filter can be scaled and the next layer can undo it, which leaves what the
network computes unchanged up to a factor a channel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sr_experiments.data.cache import default_cache_folder
from sr_experiments.data.images import find_images, read_image
from sr_experiments.data.sample import training_photographs
from sr_experiments.errors import UserError
from sr_experiments.pixels.atomic import replacing

# Larger photographs are cut to their middle: the activations of more than this fill the memory.
LARGEST_SIDE = 384

# What is measured, by the power of the activations whose mean is taken. Part of the name of every cached file: a
# change of the procedure changes it.
PROCEDURES = {
    1: "mean after ReLU, pooled over positions, middle 384",
    2: "mean square after ReLU, pooled over positions, middle 384",
}


def plain_vgg(network: nn.Module, purpose: str) -> nn.Sequential:
    """The layers of a VGG network without batch normalisation.

    Args:
        network: a classifier of torchvision.
        purpose: what they are wanted for, for the message.

    Raises:
        UserError: it is another network.
    """
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Sequential) or not all(
        isinstance(layer, nn.Conv2d | nn.ReLU | nn.MaxPool2d) for layer in features
    ):
        raise UserError(f"{purpose} is defined for VGG networks without batch normalisation; use none with this one.")
    return features


def kept_filter_means(
    features: nn.Sequential,
    mean: Tensor,
    std: Tensor,
    power: int,
    purpose: str,
    photographs: str | Path | Sequence[str | Path] | None = None,
    cache_dir: str | Path | None = None,
) -> dict[str, Tensor]:
    """`filter_means`, measured unless an earlier call with the same weights and photographs has left them.

    Args:
        features: layers of a VGG network.
        mean: (1, 3, 1, 1), taken off the image that goes in.
        std: (1, 3, 1, 1), by which it is divided.
        power: 1 for the mean of activations, 2 for that of their squares.
        purpose: what they are wanted for, for messages.
        photographs: a folder or files; None for the sample photographs.
        cache_dir: where the measured means are kept; None for the user's cache folder.

    Returns:
        Index of a convolution in `features` -> (C,) float32; 0 for a filter that never fires.

    Raises:
        UserError: a photograph cannot be read, or the cache folder cannot be used.
    """
    files = _files(photographs, purpose)
    folder = (default_cache_folder() if cache_dir is None else Path(cache_dir).expanduser()) / "filter_means"
    path = folder / f"{_digest(features, files, power, purpose)}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Of several processes one measures, so that all of them divide by the same numbers.
        with FileLock(folder / ".lock"):
            if not path.is_file():
                with replacing(path) as unfinished:
                    save_file(filter_means(features, mean.cpu(), std.cpu(), files, power, purpose), unfinished)
    except OSError as error:
        raise UserError(f"cannot use the cache folder {folder}: {error.strerror or error}.") from error
    return load_file(path)


@torch.no_grad()
def filter_means(
    features: nn.Sequential, mean: Tensor, std: Tensor, files: Sequence[Path], power: int, purpose: str
) -> dict[str, Tensor]:
    """Mean of a power of every filter's activation after ReLU, over photographs and positions.

    Arguments and result are those of `kept_filter_means`.

    Raises:
        UserError: a photograph cannot be read, or is too small.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    smallest = 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in features)
    for file in files:
        values = (_middle(file) - mean) / std
        if min(values.shape[-2:]) < smallest:
            raise UserError(f"The photograph {file} is too small for {purpose}: {smallest} pixels a side do.")
        for index, layer in enumerate(features):
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                name = str(index - 1)
                total = values.pow(power).sum(dim=(0, 2, 3), dtype=torch.float64)
                sums[name] = sums[name] + total if name in sums else total
                counts[name] = counts.get(name, 0) + values[0, 0].numel()
    return {name: (total / counts[name]).float() for name, total in sums.items()}


@torch.no_grad()
def divide_filters(features: nn.Sequential, divisors: Mapping[str, Tensor]) -> None:
    """Divide what every filter answers by a positive number, in place; the next layer makes up for it.

    Args:
        features: layers of a VGG network.
        divisors: index of a convolution -> (C,), one number a filter.
    """
    before: Tensor | None = None
    for name, layer in features.named_children():
        if isinstance(layer, nn.Conv2d):
            divisor = divisors[name]
            layer.weight.div_(divisor.view(-1, 1, 1, 1))
            if before is not None:
                layer.weight.mul_(before.view(1, -1, 1, 1))
            if layer.bias is not None:
                layer.bias.div_(divisor)
            before = divisor


def _middle(file: Path) -> Tensor:
    pixels = read_image(file)
    top, left = (max(0, (side - LARGEST_SIDE) // 2) for side in pixels.shape[:2])
    cut = pixels[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    return torch.from_numpy(cut.copy()).permute(2, 0, 1)[None].float() / 255


def _files(photographs: str | Path | Sequence[str | Path] | None, purpose: str) -> list[Path]:
    if photographs is None:
        return [photo.hr for photo in training_photographs()]
    if isinstance(photographs, str | Path):
        return find_images(photographs)
    if not photographs:
        raise UserError(f"The list of photographs for {purpose} is empty.")
    return [Path(file).expanduser() for file in photographs]


def _digest(features: nn.Sequential, files: Sequence[Path], power: int, purpose: str) -> str:
    """Tells weights and photographs apart by content, whatever files they came from."""
    digest = hashlib.sha256(PROCEDURES[power].encode())
    for value in features.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    for file in files:
        if not file.is_file():
            raise UserError(f"there is no photograph {file} for {purpose}; check the path.")
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]
