"""Confidence intervals of differences between runs, from the images of a set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000


class Interval(NamedTuple):
    """A mean difference, where 95 % of its bootstrap means lie, and the number of images behind it."""

    mean: float
    low: float
    high: float
    images: int


def counts(n_images: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """How often each image is drawn in each resample, divided by the number of images: (resamples, n_images)."""
    random = np.random.default_rng(seed)
    return random.multinomial(n_images, np.full(n_images, 1 / n_images), size=resamples) / n_images


def paired_differences(
    values: NDArray[np.float64], best: int, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval | None]:
    """Compare every row with one of them, image by image: the percentile bootstrap of the mean difference.

    The images are the sample: the interval covers the choice of images, not the choice of seeds.

    Args:
        values: (rows, images); nan where a row lacks an image, which is then left out of that comparison.
        best: the row that the others are compared with.
        resamples: bootstrap samples.
        seed: of the samples, so that a page is the same when it is made again.

    Returns:
        row minus best, an interval a row; None for fewer than two images.
    """
    found: list[Interval | None] = []
    weights: dict[int, NDArray[np.float64]] = {}
    for row in values:
        with np.errstate(invalid="ignore"):  # two infinite scores have no difference
            difference = row - values[best]
        difference = difference[np.isfinite(difference)]
        n_images = len(difference)
        if n_images < 2:
            found.append(None)
            continue
        if n_images not in weights:
            weights[n_images] = counts(n_images, resamples, seed)
        low, high = np.quantile(weights[n_images] @ difference, [0.025, 0.975])
        found.append(Interval(float(difference.mean()), float(low), float(high), n_images))
    return found
