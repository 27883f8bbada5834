"""VGG filters rescaled so that each one's mean activation on photographs is 1.

Gatys, Ecker and Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015, section 2: since ReLU and
pooling commute with positive factors, a filter can be scaled and the next layer can undo it, which leaves what the
network computes unchanged. EnhanceNet (Sajjadi et al., ICCV 2017) takes its features from such a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sr_experiments.data.cache import default_cache_folder
from sr_experiments.data.images import find_images, read_image
from sr_experiments.data.sample import training_photographs
from sr_experiments.errors import UserError

# Larger photographs are cut to their middle: the activations of more than this fill the memory.
LARGEST_SIDE = 384

# A filter that hardly fired on a few photographs may fire on others: one of VGG19's conv2_1 has 7e-7 of its layer's
# average on the sample photographs and 0.09 of it on BSDS500. Dividing by such a mean would let that filter rule the
# loss, so that none is taken for weaker than this share of its layer's average.
WEAKEST = 0.1

# Part of the name of every cached file; a change of what is measured changes it.
PROCEDURE = "mean after ReLU, pooled over positions, middle 384"


def rescale_to_mean_one(
    network: nn.Module,
    mean: Tensor,
    std: Tensor,
    photographs: str | Path | Sequence[str | Path] | None = None,
    cache_dir: str | Path | None = None,
) -> None:
    """Rescale all filters of a VGG network in place.

    Args:
        network: a VGG network without batch normalisation.
        mean: (1, 3, 1, 1), taken off the image that goes in.
        std: (1, 3, 1, 1), by which it is divided.
        photographs: a folder or files; None for the sample photographs.
        cache_dir: where the measured means are kept; None for the user's cache folder.

    Raises:
        UserError: it is another network, a photograph cannot be read, or the cache folder cannot be used.
    """
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Sequential) or not all(
        isinstance(layer, nn.Conv2d | nn.ReLU | nn.MaxPool2d) for layer in features
    ):
        raise UserError(
            "normalise=mean_one is defined for VGG networks without batch normalisation; use none with this one."
        )
    files = _files(photographs)
    folder = (default_cache_folder() if cache_dir is None else Path(cache_dir).expanduser()) / "filter_means"
    path = folder / f"{_digest(features, files)}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not path.is_file():
                unfinished = path.with_suffix(".tmp")
                save_file(filter_means(features, mean.cpu(), std.cpu(), files), unfinished)
                unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot use the cache folder {folder}: {error.strerror or error}.") from error
    _divide(features, load_file(path))


@torch.no_grad()
def filter_means(features: nn.Sequential, mean: Tensor, std: Tensor, files: Sequence[Path]) -> dict[str, Tensor]:
    """Mean activation after ReLU of every filter over photographs and positions.

    Returns:
        Index of a convolution in `features` -> (C,) float32; 0 for a filter that never fires.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    smallest = 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in features)
    for file in files:
        values = (_middle(file) - mean) / std
        if min(values.shape[-2:]) < smallest:
            raise UserError(f"The photograph {file} is too small for normalise=mean_one: {smallest} pixels a side do.")
        for index, layer in enumerate(features):
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                name = str(index - 1)
                total = values.sum(dim=(0, 2, 3), dtype=torch.float64)
                sums[name] = sums[name] + total if name in sums else total
                counts[name] = counts.get(name, 0) + values[0, 0].numel()
    return {name: (total / counts[name]).float() for name, total in sums.items()}


@torch.no_grad()
def _divide(features: nn.Sequential, means: dict[str, Tensor]) -> None:
    before: Tensor | None = None
    for name, layer in features.named_children():
        if isinstance(layer, nn.Conv2d):
            divisor = _divisor(means[name])
            layer.weight.div_(divisor.view(-1, 1, 1, 1))
            if before is not None:
                layer.weight.mul_(before.view(1, -1, 1, 1))
            if layer.bias is not None:
                layer.bias.div_(divisor)
            before = divisor


def _divisor(means: Tensor) -> Tensor:
    """Choose what to divide filters by; a filter that never fires stays as it is."""
    raised = means.clamp(min=WEAKEST * float(means.mean()))
    return torch.where(means > 0, raised, torch.ones_like(means))


def _middle(file: Path) -> Tensor:
    pixels = read_image(file)
    top, left = (max(0, (side - LARGEST_SIDE) // 2) for side in pixels.shape[:2])
    cut = pixels[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    return torch.from_numpy(cut.copy()).permute(2, 0, 1)[None].float() / 255


def _files(photographs: str | Path | Sequence[str | Path] | None) -> list[Path]:
    if photographs is None:
        return [photo.hr for photo in training_photographs()]
    if isinstance(photographs, str | Path):
        return find_images(photographs)
    if not photographs:
        raise UserError("The list of photographs for normalise=mean_one is empty.")
    return [Path(file).expanduser() for file in photographs]


def _digest(features: nn.Sequential, files: Sequence[Path]) -> str:
    """Tells weights and photographs apart by content, whatever files they came from."""
    digest = hashlib.sha256(PROCEDURE.encode())
    for value in features.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    for file in files:
        if not file.is_file():
            raise UserError(f"there is no photograph {file} for normalise=mean_one; check the path.")
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]
