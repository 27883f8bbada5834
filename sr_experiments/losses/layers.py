"""The weighted layers of a term."""

from __future__ import annotations

from collections.abc import Mapping

from sr_experiments.errors import UserError


def weighted_layers(layers: Mapping[str, float], term: str) -> dict[str, float]:
    """Drop the layers of weight 0, which switch a layer of a preset off.

    Args:
        layers: layer of the feature network -> weight.
        term: what they belong to, for the message.

    Raises:
        UserError: none is left.
    """
    kept = {str(name): float(weight) for name, weight in layers.items() if weight != 0}
    if not kept:
        raise UserError(f"{term} has no layer whose weight is not 0; switch the whole term off with its own weight.")
    return kept
