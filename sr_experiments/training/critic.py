"""The discriminator's side of an adversarial training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sr_experiments.objectives.gradients import r1_penalty
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.balance import Balance
from sr_experiments.training.game import Game
from sr_experiments.training.mixing import uniform_of
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.terms import Batch, Term, Terms, Values, mean_values


class Critic(nn.Module):
    """A discriminator as a player, with what the objective of its game makes of its logits.

    The discriminator is frozen but for its own updates, and keeps no gradients after them: it costs the generator's
    backward pass nothing, and DDP does not look for its gradients.

    Args:
        game: discriminator, objective, and when they play.
        generator: the player whose schedule and clipping the discriminator follows.
        optimizer: parameters -> optimizer of the discriminator.
        prefix: of its names in the log.

    Attributes:
        verdict: what is logged about the discriminator in the latest update; empty before the game begins.
    """

    def __init__(self, game: Game, generator: Player, optimizer: Callable[..., Optimizer], prefix: str = "d_") -> None:
        super().__init__()
        assert game.discriminator is not None
        assert game.objective is not None
        self.game = game
        self.objective = game.objective
        self.player = generator.opponent(game.discriminator, optimizer, prefix)
        self.balance = None if game.balance is None else Balance(game.balance)
        self.prefix = prefix
        self.verdict: Values = {}

    @property
    def crop_size(self) -> int:
        """Pixels a side of the crops that the discriminator judges."""
        return int(self.player.network.crop_size)  # type: ignore[arg-type]

    def generator_terms(self, sr: Tensor, hr: Tensor, play: Play, name: str = "adversarial") -> Terms:
        """What the generator's images cost it in the game; no term while its weight is 0.

        Args:
            sr: what the discriminator sees of the generator's images, as (B, 3, c, c) in [0, 1], with their graph.
            hr: likewise of HR.
            play: the update.
            name: of the term.
        """
        weight = self.game.weight_at(play.step)
        if weight == 0:
            return {}
        fake, real = self.player(sr), None
        if self.objective.needs_real:
            with torch.no_grad():
                real = self.player(hr).float()
        with full_precision(sr.device):
            real = None if real is None else self._of_whole_batch(real, play)
            loss = self.objective.generator_loss(self._of_whole_batch(fake.float(), play), real)
            return {name: Term(loss.detach(), weight * loss)}

    def update(self, shown: list[Batch], play: Play) -> Values:
        """Update the discriminator, unless the game has not begun or its balance is against it.

        Args:
            shown: parts with `hr`, `sr` (detached), both as the discriminator sees them, and `key`.
            play: the update.

        Returns:
            Name -> value of what is logged about it, the same names in either case but for those of its loss.
        """
        self.verdict = {}
        if not self.game.is_on(play.step):
            return {}
        p = self.prefix
        updated = self.balance is None or self.balance.wants_update()
        if updated:
            for repeat in range(self.game.discriminator_steps):
                values = self._learn(shown, play, repeat)
        else:
            with torch.no_grad():
                rows = [{name: term.value for name, term in self._judge(part, play)[1].items()} for part in shown]
            values = mean_values(rows)
        on_real, on_fake = values[f"{p}accuracy_real"], values[f"{p}accuracy_fake"]
        if self.balance is not None:
            self.balance.remember(*play.backend.mean(torch.stack([on_real, on_fake])))
        self.verdict = {**values, f"{p}updated": torch.tensor(float(updated), device=on_real.device)}
        return self.verdict

    @torch.no_grad()
    def accuracies(self, hr: Tensor, sr: Tensor) -> tuple[Tensor, Tensor]:
        """How often the discriminator is right on HR crops and on generated ones, each (B, 3, c, c)."""
        with full_precision(hr.device):
            return self.objective.accuracies(self.player(hr), self.player(sr))

    def _learn(self, shown: list[Batch], play: Play, repeat: int) -> Values:
        """Update the discriminator once on all parts; `repeat` counts the updates on this batch."""
        return play.learn(self.player, shown, lambda part: self._terms(part, play, repeat), f"{self.prefix}loss")

    def _terms(self, part: Batch, play: Play, repeat: int) -> Terms:
        """The discriminator's loss on one part, with penalties, and what it thought of the images."""
        loss, terms = self._judge(part, play)
        with full_precision(part["hr"].device):
            mix = uniform_of(part["key"], repeat)
            penalty = self.objective.penalty(self.player.network, part["hr"], part["sr"], mix)
            if self.game.r1 is not None:
                r1 = self.game.r1 * r1_penalty(self.player.network, part["hr"])
                penalty = r1 if penalty is None else penalty + r1
        if penalty is not None:
            loss = loss + penalty
            terms[f"{self.prefix}penalty"] = Term(penalty.detach())
        return {f"{self.prefix}loss": Term(loss.detach(), loss), **terms}

    def _judge(self, part: Batch, play: Play) -> tuple[Tensor, Terms]:
        """The objective's loss on one part; mean logits, and how often the discriminator was right."""
        real, fake = self.player(part["hr"]), self.player(part["sr"])
        with full_precision(part["hr"].device):
            real, fake = (self._of_whole_batch(logits.float(), play) for logits in (real, fake))
            loss = self.objective.discriminator_loss(real, fake)
            real, fake = real.detach(), fake.detach()
            on_real, on_fake = self.objective.accuracies(real, fake)
            found = {"real": real.mean(), "fake": fake.mean(), "accuracy_real": on_real, "accuracy_fake": on_fake}
        return loss, {f"{self.prefix}{name}": Term(value) for name, value in found.items()}

    def _of_whole_batch(self, logits: Tensor, play: Play) -> Tensor:
        """Logits of all processes, in the order of the batch, where the objective needs them; else these.

        A loss of all logits is the same in every process. Each adds the gradients of all to its own logits, so that the
        mean over processes, which follows, is the gradient that one process would have.
        """
        return play.backend.gather(logits) if self.objective.needs_batch else logits
