"""What an adversarial loss brings with it: the other player, what the two want, and when they play."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from sr_experiments.errors import UserError
from sr_experiments.objectives import Objective


@dataclass
class Game:
    """The adversarial part of a loss. All steps are generator updates, counted from the start of the run.

    Attributes:
        discriminator: (B, 3, c, c) in [0, 1] -> logits.
        objective: what the two players want.
        weight: of the generator's adversarial loss.
        start: updates before the game begins; until then the discriminator rests.
        ramp: updates over which the weight rises linearly from 0, while the discriminator trains already.
        pretrain_steps: updates of a warm start in which the mean absolute difference of pixels is the whole loss.
        discriminator_steps: updates of the discriminator a generator update, all on the batch of that update.
        balance: threshold of EnhanceNet's rule (see `Balance`); None updates the discriminator every time.
        r1: gamma of the R1 penalty on the discriminator's slope at HR crops; None for none.

    Raises:
        UserError: a part is missing, or a number is out of range.
    """

    discriminator: nn.Module | None
    objective: Objective | None
    weight: float
    start: int = 0
    ramp: int = 0
    pretrain_steps: int = 0
    discriminator_steps: int = 1
    balance: float | None = None
    r1: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.discriminator, nn.Module):
            raise UserError(
                "The adversarial loss has no discriminator: choose one with "
                "discriminator@loss.adversarial.discriminator=NAME."
            )
        if not isinstance(self.objective, Objective):
            raise UserError(
                "The adversarial loss has no objective: choose one with objective@loss.adversarial.objective=NAME."
            )
        for name in ("weight", "start", "ramp", "pretrain_steps"):
            if getattr(self, name) < 0:
                raise UserError(f"loss.adversarial.{name} must not be negative, but is {getattr(self, name)}.")
        if self.discriminator_steps < 1:
            raise UserError(f"loss.adversarial.discriminator_steps={self.discriminator_steps} must be at least 1.")
        if self.r1 is not None and self.r1 <= 0:
            raise UserError(f"loss.adversarial.r1={self.r1} must be positive (10 is usual), or null.")

    def is_warm_up(self, step: int) -> bool:
        """Whether pixels alone count in the update after `step` others."""
        return step < self.pretrain_steps

    def is_on(self, step: int) -> bool:
        """Whether the discriminator plays in the update after `step` others."""
        return step >= self.begin

    def weight_at(self, step: int) -> float:
        """The weight of the generator's adversarial loss in the update after `step` others."""
        if not self.is_on(step):
            return 0.0
        return self.weight * min((step - self.begin) / self.ramp, 1.0) if self.ramp else self.weight

    @property
    def begin(self) -> int:
        """Updates before the discriminator plays."""
        return max(self.start, self.pretrain_steps)
