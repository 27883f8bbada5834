"""The one place where weights change, against loops written out in plain torch."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import L1, MSE, WeightedSum
from sr_experiments.models.small import SmallResNet
from sr_experiments.training.nonfinite import NonFinite
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.training.terms import Term
from sr_experiments.upsamplers import SubPixel
from tests.training.parts import supervised

ADAM = partial(torch.optim.Adam, lr=1e-3)


def network() -> nn.Module:
    torch.manual_seed(0)
    return SmallResNet(2, SubPixel, features=4, blocks=1)


def halving(optimizer: torch.optim.Optimizer) -> LambdaLR:
    return LambdaLR(optimizer, lambda update: 0.5**update)


def batches(count: int) -> list[dict[str, Any]]:
    random = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (4, 3, 8, 8), generator=random, dtype=torch.uint8) for _ in range(count)]
    return [{"hr": image, "key": torch.arange(4)} for image in images]


def by_hand(count: int, parts: int, clip: float | None, decay: float | None) -> tuple[nn.Module, dict[str, Any]]:
    """The same in plain torch."""
    made = network().to(memory_format=torch.channels_last)
    optimizer = ADAM(made.parameters())
    average = {name: value.clone() for name, value in made.state_dict().items()}
    for update, batch in enumerate(batches(count)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5**update
        optimizer.zero_grad()
        for part in (batch["hr"].float() / 255).chunk(parts):
            hr = part.contiguous(memory_format=torch.channels_last)
            (((made(Bicubic(2)(hr)) - hr) ** 2).mean() / parts).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(made.parameters(), clip)
        optimizer.step()
        for name, value in made.state_dict().items():
            # torch's average takes the first weights whole.
            share = 0.0 if update == 0 or decay is None else decay
            average[name] = average[name] * share + value * (1 - share)
    return made, average


@pytest.mark.parametrize(("parts", "clip", "decay"), [(1, None, None), (2, 0.05, 0.9)])
def test_lightning_plain_torch_and_a_written_out_loop_agree(
    parts: int, clip: float | None, decay: float | None
) -> None:
    loss = WeightedSum({"mse": {"weight": 1.0, "term": MSE()}})
    options: dict[str, Any] = {"optimizer": ADAM, "scheduler": halving, "gradient_clip_val": clip, "ema_decay": decay}
    expected, average = by_hand(3, parts, clip, decay)

    plain = supervised(network(), Bicubic(2), loss, **options)
    plain.recipe.player.begin()
    plain.accumulate_grad_batches = parts
    for step, batch in enumerate(batches(3)):
        plain.recipe.update([plain.stages(part, step) for part in plain.parts(batch)], Play(step))
        plain.recipe.player.step_schedule()

    module = supervised(network(), Bicubic(2), loss, **options)
    module.accumulate_grad_batches = parts
    trainer = pl.Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(module, DataLoader(batches(3), batch_size=None))  # type: ignore[arg-type]
    assert trainer.global_step == 3
    for made in (plain, module):
        for name, value in made.recipe.player.network.state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[name], rtol=0, atol=1e-7)
        if decay is not None:
            for name, value in made.recipe.player.evaluated.state_dict().items():
                torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-7)
    same = zip(plain.recipe.player.parameters(), module.recipe.player.parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in same)


def test_players_can_learn_together() -> None:
    """Two networks under one loss, each with its own optimizer; one of them is frozen but for its updates."""
    first = Player(nn.Linear(3, 3), partial(torch.optim.SGD, lr=0.1))
    second = Player(nn.Linear(3, 1), partial(torch.optim.SGD, lr=0.2), counts=False, frozen_between=True, prefix="s_")
    before = [[p.detach().clone() for p in player.network.parameters()] for player in (first, second)]
    for player in (first, second):
        player.begin()
    x = torch.rand(5, 3)

    def terms(part: dict[str, Any]) -> dict[str, Term]:
        loss = (second(first(part["x"])) ** 2).mean()
        return {"square": Term(loss.detach(), loss), "seen": Term(loss.detach() * 2)}

    weights = [p.clone().requires_grad_() for group in before for p in group]
    loss = ((x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]).pow(2).mean()
    gradients = torch.autograd.grad(loss, weights)
    values = Play(0, is_logged=True).learn([first, second], [{"x": x}], terms)
    after = [p for player in (first, second) for p in player.network.parameters()]
    for old, new, gradient, rate in zip(weights, after, gradients, (0.1, 0.1, 0.2, 0.2), strict=True):
        torch.testing.assert_close(new.detach(), (old - rate * gradient).detach())
    assert set(values) == {"loss", "square", "seen", "gradient_norm", "s_gradient_norm"}
    torch.testing.assert_close(values["seen"], 2 * values["loss"])
    assert all(not p.requires_grad and p.grad is None for p in second.network.parameters())


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    module = supervised(network(), Bicubic(2))
    recipe = module.recipe
    assert isinstance(recipe, Supervised)
    recipe.player.begin()
    before = [p.detach().clone() for p in recipe.player.network.parameters()]
    (batch,) = batches(1)
    spoilt = module.stages(batch, 0)
    spoilt["hr"] = spoilt["hr"] * float("nan")
    spoilt.pop("target")
    with pytest.raises(UserError, match="At step 8 the loss term l1 is not finite"):
        recipe.update([spoilt], Play(7))
    play = Play(7, nonfinite=NonFinite("skip"))
    recipe.update([spoilt], play)
    assert int(play.skipped) == 1
    assert all(torch.equal(p, old) for p, old in zip(recipe.player.network.parameters(), before, strict=True))


def test_a_finite_loss_with_gradients_that_are_not_changes_nothing() -> None:
    loss = WeightedSum({"l1": {"weight": 1e38, "term": L1()}})
    module = supervised(network(), Bicubic(2), loss)
    recipe = module.recipe
    assert isinstance(recipe, Supervised)
    recipe.player.begin()
    before = [p.detach().clone() for p in recipe.player.network.parameters()]
    prepared = module.stages(batches(1)[0], 0)
    with pytest.raises(UserError, match="At step 8 the gradient of the loss is not finite"):
        recipe.update([prepared], Play(7))
    play = Play(7, nonfinite=NonFinite("skip"))
    assert torch.isfinite(recipe.update([prepared], play)["loss"])
    assert int(play.skipped) == 1
    assert all(torch.equal(p, old) for p, old in zip(recipe.player.network.parameters(), before, strict=True))
    assert recipe.player.optimizer is not None
    states = recipe.player.optimizer.state.values()
    assert all(bool(torch.isfinite(value).all()) for state in states for value in state.values())
