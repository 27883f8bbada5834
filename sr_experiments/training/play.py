"""The one place where weights change: under Lightning, or in plain torch without a Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import do_nothing_closure
from torch import Tensor, nn

from sr_experiments.training.nonfinite import NonFinite
from sr_experiments.training.player import Player
from sr_experiments.training.terms import Batch, Terms, Values, mean_values


class Backend(Protocol):
    """How a backward pass and an optimizer's step are done, and what other processes there are."""

    @property
    def world_size(self) -> int:
        """The number of processes."""

    @property
    def scales_gradients(self) -> bool:
        """Whether a scaler (fp16) finds by itself gradients that are not finite; it must see them."""

    @property
    def last_good(self) -> str | None:
        """The checkpoint that was written last."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""

    def step(self, player: Player, before: Callable[[Player], None]) -> None:
        """Step the player's optimizer; `before` looks at the gradients once they are unscaled."""

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` over all processes."""

    def gather(self, values: Tensor) -> Tensor:
        """(world_size * B, ...): the `values`, (B, ...), of all processes, through which gradients flow."""


class PlainTorch:
    """One process without a Trainer: for trainings within an evaluation, and for tests."""

    world_size = 1
    scales_gradients = False
    last_good: str | None = None

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        loss.backward()

    def step(self, player: Player, before: Callable[[Player], None]) -> None:
        """Step the player's optimizer."""
        assert player.optimizer is not None
        before(player)
        player.optimizer.step()

    def mean(self, values: Tensor) -> Tensor:
        """`values`, as there is one process."""
        return values

    def gather(self, values: Tensor) -> Tensor:
        """`values`, as there is one process."""
        return values


class UnderLightning:
    """Within a LightningModule of manual optimization: mixed precision, several processes, and one count of steps."""

    def __init__(self, module: pl.LightningModule) -> None:
        self.module = module
        self.before: Callable[[Player], None] | None = None

    @property
    def world_size(self) -> int:
        """The number of processes."""
        return self.module.trainer.world_size

    @property
    def scales_gradients(self) -> bool:
        """Whether a scaler looks after gradients (16-mixed)."""
        return getattr(self.module.trainer.precision_plugin, "scaler", None) is not None

    @property
    def last_good(self) -> str | None:
        """The checkpoint that was written last."""
        return getattr(self.module.trainer.checkpoint_callback, "last_saved", None)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        self.module.manual_backward(loss)

    def step(self, player: Player, before: Callable[[Player], None]) -> None:
        """Step the player's optimizer; Lightning calls `before` through the module's on_before_optimizer_step."""
        self.before = before
        wrapped = self.module.optimizers()
        for optimizer in wrapped if isinstance(wrapped, list) else [wrapped]:
            if optimizer.optimizer is not player.optimizer:
                continue
            if player.counts:
                optimizer.step()
            else:  # past Lightning's wrapper, which would count it as a step of the training
                self.module.trainer.strategy.optimizer_step(optimizer.optimizer, do_nothing_closure)
        self.before = None

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` over all processes."""
        if self.world_size == 1:
            return values
        return self.module.trainer.strategy.reduce(values, reduce_op="mean")

    def gather(self, values: Tensor) -> Tensor:
        """The `values` of all processes, in the order of the batch."""
        if self.world_size == 1:
            return values
        gathered = self.module.all_gather(values, sync_grads=True)
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)


@dataclass
class Play:
    """What a recipe is handed for one update.

    Attributes:
        step: updates made before this one.
        backend: how gradients and steps are taken.
        nonfinite: what to do with a loss that is not finite.
        is_logged: whether the values of this update are logged.
        skipped: counts the updates that were not made; () int64.
    """

    step: int
    backend: Backend = field(default_factory=PlainTorch)
    nonfinite: NonFinite = field(default_factory=lambda: NonFinite("stop"))
    is_logged: bool = False
    skipped: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))

    def learn(
        self,
        players: Player | Sequence[Player],
        parts: Sequence[Batch],
        terms: Callable[[Batch], Terms],
        name: str = "loss",
    ) -> Values:
        """Update players once, together, from the gradients of all parts of a batch.

        Args:
            players: whose weights change.
            parts: of the batch; their gradients are averaged.
            terms: a part -> the terms of the loss.
            name: of the loss in the log.

        Returns:
            Name -> mean over the parts of the loss and of each of its terms; in a logged update also the norm of each
            player's gradients.

        Raises:
            UserError: the loss or a gradient is not finite, and that is to stop the run.
        """
        together = [players] if isinstance(players, Player) else list(players)
        with ExitStack() as learning:
            for player in together:
                learning.enter_context(player.learning())
            values = mean_values([self._backward(terms(part), name, len(parts)) for part in parts])
            for player in together:
                if player.frozen_between:
                    self._average_gradients(player)
            passes = self._guard(values, name, together)
            for player in together:
                if not passes and not self.backend.scales_gradients:
                    assert player.optimizer is not None
                    player.optimizer.zero_grad()
                self.backend.step(player, lambda player: self._before_step(player, values))
                player.update_average()
        return values

    def _backward(self, terms: Terms, name: str, parts: int) -> Values:
        loss = torch.stack([term.weighted for term in terms.values() if term.weighted is not None]).sum()
        self.backend.backward(loss / parts)
        return {name: loss.detach(), **{key: term.value for key, term in terms.items()}}

    def _average_gradients(self, player: Player) -> None:
        """Give every process the mean of the gradients of a player that is frozen between, and so unknown to DDP."""
        if self.backend.world_size == 1:
            return
        gradients = player.gradients()
        mean = self.backend.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, values in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(values.view(gradient.shape))

    def _guard(self, values: Values, name: str, players: Sequence[Player]) -> bool:
        """Whether the loss and the norms of its gradients are finite on all ranks, so that the update may be made.

        A finite loss may have gradients beyond the largest number; a scaler looks after those by itself.
        """
        checked = [values[name]]
        if not self.backend.scales_gradients:
            checked += [_norm(found) for player in players if (found := player.gradients())]
        finite = torch.stack([torch.isfinite(value).float() for value in checked]).prod()
        is_finite = bool(self.backend.mean(finite) == 1)
        passes = self.nonfinite.passes(values, name, is_finite, self.step + 1, self.backend.last_good)
        if not passes:
            self.skipped += 1
        return passes

    def _before_step(self, player: Player, values: Values) -> None:
        """Note the norm of the gradients for the log, then clip them."""
        gradients = player.gradients()
        if self.is_logged and gradients:
            values[f"{player.prefix}gradient_norm"] = nn.utils.get_total_norm(gradients)
        player.clip_gradients()


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients; in 16 bits the squares of ordinary ones would be infinite."""
    return nn.utils.get_total_norm([g.float() if g.dtype == torch.float16 else g for g in gradients])
