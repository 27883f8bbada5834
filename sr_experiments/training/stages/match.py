"""The textures that references have for LR images, for networks that take them."""

from __future__ import annotations

from torch import nn

from sr_experiments.matching import Matching
from sr_experiments.training.terms import Batch


class Match(nn.Module):
    """Adds `maps` and `similarity`; see `Matching`. Without a reference the LR image itself is searched.

    Args:
        matching: finds the textures; None for a network that takes none.
    """

    def __init__(self, matching: Matching | None) -> None:
        super().__init__()
        self.matching = matching

    def forward(self, batch: Batch, step: int) -> Batch:
        """In training, an update in `truth_every` has HR's own textures."""
        if self.matching is None:
            return batch
        if self.training and self.matching.is_truth(step + 1):
            maps, similarity = self.matching.truth(batch["hr"])
        else:
            given = batch.get("ref", [[]] * len(batch["lr"]))
            references = [[image.float() / 255 for image in images] for images in given]
            maps, similarity = self.matching(batch["lr"], references, batch.get("key"))
        return {**batch, "maps": maps, "similarity": similarity}
