"""VGG19 of any training brought to the magnitude of the original one's activations.

Simonyan and Zisserman, ICLR 2015, published weights for Caffe, which take values of 0 to 255. Papers of that time
weigh terms of losses for their activations, in the hundreds; torchvision's own training of the same network has far
smaller ones. SRNTT (Zhang et al., CVPR 2019) uses the original weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.features.filter_means import divide_filters, kept_filter_means, plain_vgg

PURPOSE = "normalise=original"

# The original network's root mean square after every ReLU, over channels and positions of the sample photographs, as
# `filter_means` sees them.
ORIGINAL_RMS = (
    *(50.1183, 218.797),  # relu1_1, relu1_2
    *(186.886, 225.328),  # relu2_1, relu2_2
    *(240.040, 270.823, 468.983, 794.443),  # relu3_1, ...
    *(829.195, 658.116, 390.561, 153.252),  # relu4_1, ...
    *(113.366, 51.8518, 23.0076, 5.96433),  # relu5_1, ...
)


def rescale_to_rms(
    network: nn.Module,
    mean: Tensor,
    std: Tensor,
    rms: Sequence[float] = ORIGINAL_RMS,
    photographs: str | Path | Sequence[str | Path] | None = None,
    cache_dir: str | Path | None = None,
) -> None:
    """Multiply each layer of a VGG network by one number, in place, to give its activations a magnitude.

    Args:
        network: a VGG network without batch normalisation.
        mean: (1, 3, 1, 1), taken off the image that goes in.
        std: (1, 3, 1, 1), by which it is divided.
        rms: the root mean square that each layer is to have after ReLU over the photographs; `ORIGINAL_RMS` belongs to
            VGG19 and the sample photographs. A layer that never fires stays as it is.
        photographs: a folder or files; None for the sample photographs.
        cache_dir: where what is measured is kept; None for the user's cache folder.

    Raises:
        UserError: it is another network, a photograph cannot be read, or the cache folder cannot be used.
    """
    features = plain_vgg(network, PURPOSE)
    layers = sum(isinstance(layer, nn.Conv2d) for layer in features)
    if layers != len(rms):
        raise UserError(f"{PURPOSE} is defined for VGG19, {len(rms)} layers deep; this network has {layers}.")
    squares = kept_filter_means(features, mean, std, 2, PURPOSE, photographs, cache_dir)
    wanted = dict(zip(sorted(squares, key=int), rms, strict=True))
    divide_filters(features, {name: _divisor(value, wanted[name]) for name, value in squares.items()})


def _divisor(squares: Tensor, wanted: float) -> Tensor:
    """One number for all filters of a layer."""
    found = float(squares.double().mean().sqrt())
    return torch.full_like(squares, found / wanted if found > 0 else 1.0)
