"""A kind of training."""

from __future__ import annotations

from sr_experiments.training.play import Play
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.training.terms import Batch, Values


class Twice(Supervised):
    """Shows every batch a second time, flipped; both times make one update of the network."""

    def update(self, parts: list[Batch], play: Play) -> Values:
        """One update from the batch and its mirror image."""
        flipped = [{**part, **{name: part[name].flip(-1) for name in ("hr", "lr")}} for part in parts]
        return super().update([*parts, *flipped], play)
