"""VGG filters rescaled so that each one's mean activation on photographs is 1.

Gatys, Ecker and Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015, section 2. EnhanceNet
(Sajjadi et al., ICCV 2017) takes its features from such a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sr_experiments.features.filter_means import divide_filters, kept_filter_means, plain_vgg

# A filter that hardly fired on a few photographs may fire on others: one of VGG19's conv2_1 has 7e-7 of its layer's
# average on the sample photographs and 0.09 of it on BSDS500. Dividing by such a mean would let that filter rule the
# loss, so that none is taken for weaker than this share of its layer's average.
WEAKEST = 0.1

PURPOSE = "normalise=mean_one"


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
    features = plain_vgg(network, PURPOSE)
    means = kept_filter_means(features, mean, std, 1, PURPOSE, photographs, cache_dir)
    divide_filters(features, {name: _divisor(value) for name, value in means.items()})


def _divisor(means: Tensor) -> Tensor:
    """Choose what to divide filters by; a filter that never fires stays as it is."""
    raised = means.clamp(min=WEAKEST * float(means.mean()))
    return torch.where(means > 0, raised, torch.ones_like(means))
