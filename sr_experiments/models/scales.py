"""Which enlargements a network can do, and the sentence for those it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from sr_experiments.errors import UserError

DOUBLING_SCALES = (2, 4, 8)


def count_doublings(scale: int, network: str) -> int:
    """How often a network that doubles level by level has to double.

    Raises:
        UserError: `scale` is not 2, 4 or 8.
    """
    if scale not in DOUBLING_SCALES:
        raise UserError(
            f"{network} doubles the image level by level, so that it cannot enlarge by scale={scale}: use 2, 4 or 8."
        )
    return DOUBLING_SCALES.index(scale) + 1


def check_scales(scale: int, scales: Sequence[int], network: str) -> int:
    """Return `scale` if a network that is built for several enlargements was built for it.

    Raises:
        UserError: it was not.
    """
    if scale not in scales:
        listed = ", ".join(map(str, scales))
        raise UserError(f"{network} is built for model.scales=[{listed}], without scale={scale}: add it there.")
    return scale
