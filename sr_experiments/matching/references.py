"""Reference images, cut to size, with what matching needs of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching.features import CELL, LAYERS, MATCHING_LAYER, extract
from sr_experiments.matching.swapping import cell_table


class References:
    """The references of one image, or of several images that have the same ones; `Matching.references` makes it.

    Feature maps are computed when they are first needed, and kept: 448 bytes a pixel.

    Args:
        network: computes the features.
        images: (1, 3, H, W) each, in [0, 1], H and W multiples of `CELL`.
        blurred: the images enlarged again from their LR versions, of the same sizes; None to match each layer of the
            images themselves.
        identity: what tells them from other references: texts and tensors.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        images: Sequence[Tensor],
        blurred: Sequence[Tensor] | None,
        identity: Sequence[str | Tensor],
    ) -> None:
        self.network = network
        self.images = tuple(images)
        self.blurred = None if blurred is None else tuple(blurred)
        self.identity = tuple(identity)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are matched: the first one for all, or each by itself."""
        return tuple(LAYERS) if self.blurred is None else (MATCHING_LAYER,)

    def grid(self, layer: str) -> int:
        """Cells of the correspondence that serves `layer`, a side of a cell of relu3_1."""
        return LAYERS[layer] if self.blurred is None else 1

    def sizes(self, layer: str) -> tuple[tuple[int, int], ...]:
        """Cells (rows, columns) of each reference in the correspondence that serves `layer`."""
        step = CELL // self.grid(layer)
        return tuple((image.shape[-2] // step, image.shape[-1] // step) for image in self.images)

    @cached_property
    def _sharp(self) -> dict[str, list[Tensor]]:
        """Layer -> features of each image, all layers out of one pass."""
        passes = [extract(self.network, image, LAYERS) for image in self.images]
        return {layer: [features[layer] for features in passes] for layer in LAYERS}

    @cached_property
    def matched(self) -> dict[str, list[Tensor]]:
        """Layer -> the features of each reference that are compared with those of the content."""
        if self.blurred is None:
            return self._sharp
        return {
            MATCHING_LAYER: [extract(self.network, image, [MATCHING_LAYER])[MATCHING_LAYER] for image in self.blurred]
        }

    @cached_property
    def tables(self) -> dict[str, Tensor]:
        """Layer -> the cells of all references, from which maps are put together; see `cell_table`."""
        tables = {layer: cell_table(self._sharp[layer], LAYERS[layer] // self.grid(layer)) for layer in LAYERS}
        if self.blurred is not None:
            del self._sharp  # the tables hold all of it
        return tables
