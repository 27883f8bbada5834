"""Evaluation samples: whole photographs, decoded as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.data.conditions import open_condition, to_probabilities
from sr_experiments.data.images import read_image
from sr_experiments.data.photos import Photo
from sr_experiments.data.references import References, Sample, evaluation_random
from sr_experiments.errors import UserError


class EvaluationImages(Dataset[dict[str, Any]]):
    """The photographs of a set, in order.

    An item is `{"hr": uint8 (3, H, W), "gray": bool, "name": str, "index": int, "key": int}`, and `"lr": uint8 (3,
    H/scale, W/scale)` where one is stored. H and W are cut to multiples of `scale` at the bottom and at the right. A
    file stored in gray has `gray=True` and three equal channels. The key, which decides random degradations, is the
    image's place in the set, so that every run is tested on the same LR images. Where there are references, `"ref"` is
    a list of any number of them, whole, uint8 (3, h, w) of any size; `"condition"` is as of `TrainingCrops`.

    Args:
        photos: the set.
        scale: the enlargement.
        references: finds the references of an image; None for images without.
        seed: with the image's place in the set, decides references that are random.
        classes: number of classes in the maps.

    Raises:
        UserError: a photograph cannot get its references.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        scale: int,
        references: References | None = None,
        seed: int = 0,
        classes: int = 8,
    ) -> None:
        self.photos, self.scale, self.references, self.seed = list(photos), scale, references, seed
        self.classes = classes
        if references is not None:
            references.check(self.photos)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Decode one photograph.

        Raises:
            UserError: a file cannot be read, is smaller than `scale`, or does not fit its LR image.
        """
        photo = self.photos[index]
        pixels = read_image(photo.hr, gray="keep")
        height, width = (side // self.scale * self.scale for side in pixels.shape[:2])
        if min(height, width) == 0:
            raise UserError(f"{photo.hr} is {pixels.shape[1]}x{pixels.shape[0]} pixels, too small for x{self.scale}.")
        hr = pixels[:height, :width]
        item: dict[str, Any] = {"hr": _rgb_chw(hr), "gray": pixels.shape[2] == 1, "name": photo.name}
        item |= {"index": index, "key": index}
        if photo.lr is not None:
            lr = read_image(photo.lr)
            if (lr.shape[0] * self.scale, lr.shape[1] * self.scale) != (height, width):
                raise UserError(
                    f"{photo.hr} is {width}x{height} pixels and its LR image {photo.lr} is "
                    f"{lr.shape[1]}x{lr.shape[0]}, which does not fit scale {self.scale}."
                )
            item["lr"] = _rgb_chw(lr)
        if photo.condition is not None:
            maps = np.array(open_condition(photo.condition)[:height, :width].transpose(2, 0, 1), order="C")
            item["condition"] = to_probabilities(torch.from_numpy(maps), photo.condition, self.classes)
        if self.references is not None:
            colours = np.broadcast_to(hr, (height, width, 3))
            found = self.references.find(Sample(photo, colours, None, read_image, evaluation_random(self.seed, index)))
            item["ref"] = [_rgb_chw(reference) for reference in found]
        return item


def _rgb_chw(pixels: NDArray[np.uint8]) -> Tensor:
    chw = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return torch.from_numpy(chw if chw.shape[0] == 3 else np.repeat(chw, 3, axis=0))
