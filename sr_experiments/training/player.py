"""A network in training, with all that changes its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sr_experiments.errors import UserError
from sr_experiments.models.traits import traits
from sr_experiments.models.weights import load_weights
from sr_experiments.models.which import models_that
from sr_experiments.training.clipping import check_algorithm, clip_gradients


class Player(nn.Module):
    """A network with its optimizer, schedule, moving average and gradient clipping.

    Args:
        network: what is trained.
        optimizer: parameters -> optimizer.
        scheduler: optimizer -> schedule, stepped once a generator update; None for a constant learning rate.
        ema_decay: decay of the network's exponential moving average, which then is what gets evaluated; None for none.
        gradient_clip_val: largest gradient norm (or value); None for no clipping.
        gradient_clip_algorithm: `norm`, `value` or `adjusted`; see `clip_gradients`.
        channels_last: keep the weights in the memory layout that convolutions like best.
        compile: compile the network with torch.compile.
        last_layer_rate: factor of the learning rate of the network's `last_layer`, which makes the image.
        counts: whether an update of this player is a step of the training; of one player of a recipe it is.
        frozen_between: keep the network without gradients and in eval mode, but for its own updates.
        prefix: of this player's names in the log, as `d_` of a discriminator.

    Raises:
        UserError: an option is unknown or out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        ema_decay: float | None = None,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
        channels_last: bool = True,
        compile: bool = False,
        last_layer_rate: float = 1.0,
        counts: bool = True,
        frozen_between: bool = False,
        prefix: str = "",
    ) -> None:
        super().__init__()
        check_algorithm(gradient_clip_algorithm)
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise UserError(f"ema_decay={ema_decay} must lie between 0 and 1 (0.999 is usual), or be null.")
        if last_layer_rate <= 0 or (last_layer_rate != 1 and not traits(network).names_last_layer):
            raise UserError(
                f"training.recipe.player.last_layer_rate={last_layer_rate} must be above 0, and other than 1 only for "
                f"networks that name their last layer, {models_that(lambda said: said.names_last_layer)}; "
                f"{type(network).__name__} learns at one rate."
            )
        self.make_optimizer = optimizer
        self.make_schedule = scheduler
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.channels_last = channels_last
        self.last_layer_rate = last_layer_rate
        self.counts = counts
        self.frozen_between = frozen_between
        self.prefix = prefix
        self.network = network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        if frozen_between:
            network.requires_grad_(False).eval()
        self.average: AveragedModel | None = None
        if ema_decay is not None:
            average = get_ema_multi_avg_fn(ema_decay)
            self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        if compile:
            network.compile()
            if traits(network).makes_outputs:
                network.outputs = torch.compile(network.outputs)  # type: ignore[arg-type, assignment]
        self.optimizer: Optimizer | None = None
        self.schedule: LRScheduler | None = None

    def opponent(self, network: nn.Module, optimizer: Callable[..., Optimizer], prefix: str) -> Player:
        """A second player under this one's schedule and clipping, whose updates are not counted."""
        return Player(
            network,
            optimizer,
            self.make_schedule,
            gradient_clip_val=self.gradient_clip_val,
            gradient_clip_algorithm=self.gradient_clip_algorithm,
            channels_last=self.channels_last,
            counts=False,
            frozen_between=True,
            prefix=prefix,
        )

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the network makes of its inputs."""
        return self.network(*inputs, **named)

    @property
    def evaluated(self) -> nn.Module:
        """The network that validation and tests look at: the moving average where there is one."""
        return self.network if self.average is None else self.average.module

    @property
    def learning_rate(self) -> float:
        """The learning rate now, of the first group of parameters."""
        assert self.optimizer is not None
        return float(self.optimizer.param_groups[0]["lr"])

    def begin(self, **options: Any) -> None:
        """Make the optimizer, with these further options, and its schedule."""
        parameters = [p for p in self.network.parameters() if p.requires_grad or self.frozen_between]
        if self.last_layer_rate == 1:
            self.optimizer = self.make_optimizer(parameters, **options)
        else:
            last_layer = traits(self.network).last_layer
            assert last_layer is not None
            last = set(last_layer.parameters())
            groups = [{"params": [p for p in parameters if (p in last) is is_last]} for is_last in (False, True)]
            self.optimizer = self.make_optimizer(groups, **options)
            self.optimizer.param_groups[1]["lr"] *= self.last_layer_rate
        self.schedule = None if self.make_schedule is None else self.make_schedule(self.optimizer)

    def step_schedule(self) -> None:
        """Go on to the learning rate of the next update, where there is no Trainer to do it."""
        if self.schedule is not None:
            self.schedule.step()

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Let a network that is frozen otherwise have gradients, and take them away again."""
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        if not self.frozen_between:
            yield
            return
        self.network.requires_grad_(True).train()
        try:
            yield
        finally:
            self.optimizer.zero_grad()
            self.network.requires_grad_(False).eval()

    def gradients(self) -> list[Tensor]:
        """The gradients that there are."""
        return [p.grad for p in self.network.parameters() if p.grad is not None]

    def clip_gradients(self) -> None:
        """Limit the gradients as the options say."""
        if self.gradient_clip_val is not None:
            assert self.optimizer is not None
            clip_gradients(self.optimizer, self.gradient_clip_val, self.gradient_clip_algorithm)

    def update_average(self) -> None:
        """Take the latest weights into the moving average, where there is one."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def start_from(self, state: Mapping[str, Tensor], source: str | Path) -> None:
        """Begin with the weights of another run, or published ones: the second stage of a two-stage plan.

        Raises:
            UserError: they do not fit.
        """
        begin_from = traits(self.network).begin_from
        if begin_from is not None:
            state = begin_from(state)
        for network in (self.network,) if self.average is None else (self.network, self.average.module):
            load_weights(network, state, source)
