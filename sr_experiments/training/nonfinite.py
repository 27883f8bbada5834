"""What to do where a loss or its gradient is not finite: stop the run, or skip that update and count it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from sr_experiments.errors import UserError

# Weights that have become non-finite stay so: after this many skipped updates in a row nothing will come of it.
MOST_SKIPS_IN_A_ROW = 100


class NonFinite:
    """Judges losses, and remembers how many in a row were not finite.

    Args:
        mode: `stop` or `skip`.

    Raises:
        UserError: the mode is unknown.
    """

    def __init__(self, mode: str) -> None:
        if mode not in ("stop", "skip"):
            raise UserError(f"on_nonfinite={mode} is unknown: use stop or skip.")
        self.skips = mode == "skip"
        self.in_a_row: Counter[str] = Counter()

    def passes(
        self, values: Mapping[str, Tensor], loss: str, is_finite: bool, step: int, last_good: str | None
    ) -> bool:
        """Whether an update with `values[loss]` may be made; False: it is to be skipped.

        Args:
            values: name -> value of the loss and its terms, for the message.
            loss: the name of the loss.
            is_finite: whether it and its gradients are, on every rank.
            step: the generator update, for the message.
            last_good: the checkpoint that was written last, for the message.

        Raises:
            UserError: it is not finite and the mode is `stop`, or too many updates in a row were skipped.
        """
        if is_finite:
            self.in_a_row[loss] = 0
            return True
        bad = [name for name, value in values.items() if name != loss and not torch.isfinite(value)]
        what = f"the loss term {bad[0]}" if bad else f"the {loss}"
        if torch.isfinite(values[loss]):
            what = f"the gradient of the {loss}"
        where = f"the last good checkpoint is {last_good}" if last_good else "no checkpoint was written before"
        if not self.skips:
            raise UserError(
                f"At step {step} {what} is not finite; {where}. Try a smaller learning rate, "
                "trainer.gradient_clip_val, or on_nonfinite=skip."
            )
        self.in_a_row[loss] += 1
        if self.in_a_row[loss] >= MOST_SKIPS_IN_A_ROW:
            raise UserError(
                f"At step {step} {what} was not finite for {MOST_SKIPS_IN_A_ROW} updates in a row; {where}."
            )
        return False
