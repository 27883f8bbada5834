"""Checkpoints of before recipes had players: their weights lay under other names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

# Beginning of a name -> how it begins now.
MOVED = {
    "network.": "recipe.player.network.",
    "ema.": "recipe.player.average.",
    "discriminator.": "recipe.critic.player.network.",
    "balance.": "recipe.critic.balance.",
    "loss.": "recipe.loss.",
    "several_scales.degradations.": "stages.scales.degradations.",
    "degradation.": "stages.degrade.degradation.",
    "matching.": "stages.match.matching.",
}


def with_new_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of any age under today's names."""
    renamed = {}
    for name, value in state.items():
        old = next((beginning for beginning in MOVED if name.startswith(beginning)), "")
        renamed[MOVED.get(old, "") + name.removeprefix(old)] = value
    return renamed
