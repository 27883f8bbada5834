"""Scores per image, exact for any number of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from sr_experiments.errors import UserError


class ImageScores(Metric):
    """Collects the scores of a known number of images, each under its index, over all processes.

    A distributed sampler gives every process equally many images by repeating some, which biases a mean. Here every
    image has its own entry, the entries of all processes are added up, and an image that was seen twice counts once.
    The states have a fixed size, so processes may have seen different numbers of images, or none.

    Args:
        n_images: how many images there are.
        names: the names of the scores.
        partial: whether images may be missing, as in Lightning's sanity check or with `limit_val_batches`; their
            scores are then None, and means are taken over the others.
        dtype: of the states; MPS needs float32, everywhere else float64 loses nothing.

    Example:
        >>> scores = ImageScores(2, names=["psnr"])
        >>> scores.update(0, {"psnr": 30.0})
        >>> scores.update(1, {"psnr": 20.0})
        >>> scores.means()
        {'psnr': 25.0}
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False
    values: Tensor
    absent: Tensor
    count: Tensor

    def __init__(
        self,
        n_images: int,
        names: Sequence[str] = ("psnr", "ssim"),
        partial: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.partial = partial
        self.add_state("values", torch.zeros(n_images, len(self.names), dtype=dtype), dist_reduce_fx="sum")
        self.add_state("absent", torch.zeros(n_images, len(self.names), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(n_images, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, index: int, values: Mapping[str, float | None]) -> None:
        """Add the scores of one image.

        Args:
            index: which image, from 0 to n_images - 1.
            values: one number for each of the names; None where a score cannot be taken of this image.

        Raises:
            IndexError: there is no such image.
            ValueError: the names are others than those given to the constructor.
        """
        if not 0 <= index < len(self.count):
            raise IndexError(f"image {index} of {len(self.count)} (counted from 0)")
        if set(values) != set(self.names):
            raise ValueError(f"expected scores named {sorted(self.names)}, got {sorted(values)}")
        row = [values[name] for name in self.names]
        self.values[index] += self.values.new_tensor([0.0 if value is None else value for value in row])
        self.absent[index] += self.absent.new_tensor([value is None for value in row])
        self.count[index] += 1

    def compute(self) -> dict[str, list[float | None]]:
        """List every score by name, image by image; all processes must call this, and all get the same.

        A score that could not be taken of an image is None.

        Raises:
            UserError: images were never scored, and `partial` is off.
        """
        count = self.count.tolist()
        missing = count.count(0)
        if missing and not self.partial:
            raise UserError(
                f"{missing} of {len(count)} images were never scored, so there is no mean over the set; evaluate all "
                "of it (for example, without limit_val_batches or limit_test_batches)."
            )
        means = (self.values / self.count[:, None]).tolist()
        # An image that was never seen has no score at all.
        known = ((self.absent == 0) & (self.count[:, None] > 0)).tolist()
        return {
            name: [row[column] if has[column] else None for row, has in zip(means, known, strict=True)]
            for column, name in enumerate(self.names)
        }

    def means(self) -> dict[str, float]:
        """Average every score over the images that have it; calls `compute`, so all processes must call it.

        An infinite PSNR (see `Protocol.score`) makes its mean infinite; without any image a mean is nan.
        """
        return {name: _mean([value for value in row if value is not None]) for name, row in self.compute().items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
