"""Training against a discriminator: two players, two optimizers, one count of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from sr_experiments.errors import UserError
from sr_experiments.losses import WeightedSum
from sr_experiments.objectives.gradients import r1_penalty
from sr_experiments.training.balance import Balance
from sr_experiments.training.game import Game
from sr_experiments.training.mixing import uniform_of
from sr_experiments.training.supervised import Batch, Supervised, Term, Terms, mean_values


class AdversarialTraining(Supervised):
    """Trains a network (the generator) and, in turn, the discriminator that its loss brings along.

    One loader batch is one generator update, and only those count as steps. The generator goes first; the discriminator
    then learns from the same batch, from what the generator had made of it, so that one pass of the generator serves
    both. The discriminator is frozen but for its own step, and keeps no gradients after it.

    Args:
        network: the generator.
        degradation: makes LR from HR on the device.
        loss: weighted sum of terms with an adversarial part.
        optimizer: parameters -> optimizer of the generator.
        discriminator_optimizer: parameters -> optimizer of the discriminator; `scheduler` is followed by both.
        options: those of `Supervised`.

    Attributes:
        verdict: what is logged about the discriminator in the latest update; empty before the game begins.

    Raises:
        UserError: the loss has no adversarial part.
    """

    plays = True

    def __init__(
        self,
        network: nn.Module,
        degradation: nn.Module,
        loss: WeightedSum,
        optimizer: Callable[..., Optimizer],
        discriminator_optimizer: Callable[..., Optimizer],
        **options: Any,
    ) -> None:
        super().__init__(network, degradation, loss, optimizer, **options)
        if loss.adversarial is None:
            raise UserError(
                "training=adversarial needs a loss with an adversarial part, such as loss=srgan_vgg54; this one has "
                "none: use training=supervised."
            )
        self.game: Game = loss.adversarial
        assert self.game.discriminator is not None
        assert self.game.objective is not None
        self.objective = self.game.objective
        # Frozen from the start, which also keeps it out of the gradient buckets of DDP.
        self.discriminator = self.game.discriminator.to(memory_format=self.memory_format).requires_grad_(False).eval()
        self.make_discriminator_optimizer = discriminator_optimizer
        self.balance = None if self.game.balance is None else Balance(self.game.balance)
        self.shown: list[Batch] = []
        self.seen: dict[str, Tensor] = {}
        self.verdict: dict[str, Tensor] = {}

    @property
    def discriminator_optimizer(self) -> LightningOptimizer:
        """The discriminator's optimizer."""
        return self.optimizers()[1]  # type: ignore[index]

    @property
    def looks_at_gradients(self) -> bool:
        """Their norms are logged."""
        return True

    def configure_optimizers(self) -> Any:
        """Make both optimizers and their schedules."""
        parameters = list(self.discriminator.parameters())
        return [
            super().configure_optimizers(),
            self.optimizer_with_schedule(self.make_discriminator_optimizer, parameters),
        ]

    def update(self, parts: list[Batch]) -> dict[str, Tensor]:
        """One generator update, and the discriminator's answer."""
        step = self.trainer.global_step
        self.shown.clear()
        self.seen.clear()
        values = self.generator_step(parts)
        self.verdict = self.discriminator_step() if self.game.is_on(step) else {}
        self.shown.clear()
        return {**values, **self.verdict, **self.seen}

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Terms]:
        """What the generator makes of one part, and the terms of its loss; the image is kept for the discriminator."""
        step = self.trainer.global_step
        batch = self.learn_from(batch)
        sr = batch["sr"]
        if self.game.is_warm_up(step):
            warm = F.l1_loss(sr, batch["target"] if "target" in batch else batch["hr"])
            return sr, {"warm_up": Term(warm.detach(), warm)}
        terms = self.image_terms(sr, batch)
        if self.game.is_on(step):
            self.shown.append({"hr": batch["hr"], "sr": sr.detach(), "key": batch["key"]})
        weight = self.game.weight_at(step)
        if weight > 0:
            adversarial = self.adversarial_loss(sr, batch["hr"])
            terms["adversarial"] = Term(adversarial.detach(), weight * adversarial)
        return sr, terms or {"none": Term(sr.new_zeros(()), 0.0 * sr.sum())}

    def adversarial_loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        """What the generator's images, (B, 3, c, c), cost it in the game, before weighting."""
        fake = self.discriminator(sr)
        real = None
        if self.objective.needs_real:
            with torch.no_grad():
                real = self.discriminator(hr).float()
        with torch.autocast(self.device.type, enabled=False):
            real = None if real is None else self.of_whole_batch(real)
            return self.objective.generator_loss(self.of_whole_batch(fake.float()), real)

    def of_whole_batch(self, logits: Tensor) -> Tensor:
        """Logits of all processes, in the order of the batch, where the objective needs them; else these.

        A loss of all logits is the same in every process. Each adds the gradients of all to its own logits, so that the
        mean over processes, which follows, is the gradient that one process would have.
        """
        if self.trainer.world_size == 1 or not self.objective.needs_batch:
            return logits
        gathered = self.all_gather(logits, sync_grads=True)
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)

    def discriminator_step(self) -> dict[str, Tensor]:
        """Update the discriminator, unless the balance of the game is against it.

        Returns:
            Name -> value of what is logged about it, the same names in either case but for those of its loss.
        """
        updated = self.balance is None or self.balance.wants_update()
        if updated:
            with self.discriminator_learns():
                for repeat in range(self.game.discriminator_steps):
                    values = self.discriminator_update(repeat)
        else:
            with torch.no_grad():
                values = mean_values([self.judge(shown)[1] for shown in self.shown])
        if self.balance is not None:
            accuracies = torch.stack([values["d_accuracy_real"], values["d_accuracy_fake"]])
            on_real, on_fake = self.mean_over_ranks(accuracies)
            self.balance.remember(on_real, on_fake)
        return {**values, "d_updated": torch.tensor(float(updated), device=self.device)}

    @contextmanager
    def discriminator_learns(self) -> Iterator[None]:
        """Let the discriminator have gradients, and take them away again."""
        self.discriminator.requires_grad_(True).train()
        try:
            yield
        finally:
            self.discriminator_optimizer.zero_grad()
            self.discriminator.requires_grad_(False).eval()

    def discriminator_update(self, repeat: int) -> dict[str, Tensor]:
        """Update the discriminator once on all parts of the batch; `repeat` counts the updates on this batch.

        Raises:
            UserError: the loss is not finite and `on_nonfinite` is `stop`.
        """
        optimizer = self.discriminator_optimizer
        optimizer.zero_grad()
        rows = []
        for shown in self.shown:
            loss, values = self.discriminator_loss(shown, repeat)
            self.manual_backward(loss / len(self.shown))
            rows.append({"d_loss": loss.detach(), **values})
        values = mean_values(rows)
        self.average_gradients()
        self.guard(optimizer, values, "d_loss")
        # Past Lightning's wrapper, which would count this as a step of the training.
        self.trainer.strategy.optimizer_step(optimizer.optimizer, do_nothing_closure)
        return values

    def discriminator_loss(self, shown: Batch, repeat: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss on one part, with penalties, and what it thought of the images."""
        loss, values = self.judge(shown)
        with torch.autocast(self.device.type, enabled=False):
            mix = uniform_of(shown["key"], repeat)
            penalty = self.objective.penalty(self.discriminator, shown["hr"], shown["sr"], mix)
            if self.game.r1 is not None:
                r1 = self.game.r1 * r1_penalty(self.discriminator, shown["hr"])
                penalty = r1 if penalty is None else penalty + r1
        if penalty is None:
            return loss, values
        return loss + penalty, {**values, "d_penalty": penalty.detach()}

    def judge(self, shown: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective's loss on one part, mean logits, and how often the discriminator was right."""
        real, fake = self.discriminator(shown["hr"]), self.discriminator(shown["sr"])
        with torch.autocast(self.device.type, enabled=False):
            real, fake = self.of_whole_batch(real.float()), self.of_whole_batch(fake.float())
            loss = self.objective.discriminator_loss(real, fake)
            real, fake = real.detach(), fake.detach()
            right_on_real, right_on_fake = self.objective.accuracies(real, fake)
        return loss, {
            "d_real": real.mean(),
            "d_fake": fake.mean(),
            "d_accuracy_real": right_on_real,
            "d_accuracy_fake": right_on_fake,
        }

    @torch.no_grad()
    def accuracies(self, hr: Tensor, sr: Tensor) -> tuple[Tensor, Tensor]:
        """How often the discriminator is right on HR crops and on generated ones, each (B, 3, c, c)."""
        with torch.autocast(self.device.type, enabled=False):
            return self.objective.accuracies(self.discriminator(hr), self.discriminator(sr))

    @property
    def crop_size(self) -> int:
        """Pixels a side of the crops that the discriminator judges."""
        return self.discriminator.crop_size

    def average_gradients(self) -> None:
        """Give every process the mean of the discriminator's gradients, which DDP knows nothing of."""
        if self.trainer.world_size == 1:
            return
        gradients = [p.grad for p in self.discriminator.parameters() if p.grad is not None]
        mean = self.mean_over_ranks(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, values in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(values.view(gradient.shape))

    def mean_over_ranks(self, values: Tensor) -> Tensor:
        """The mean of `values` over all processes."""
        if self.trainer.world_size == 1:
            return values
        return self.trainer.strategy.reduce(values, reduce_op="mean")

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Note the norm of the gradients for the log, then clip them."""
        if self.logs_at(self.step_at_work):
            is_generator = optimizer is self.trainer.optimizers[0]
            name = "gradient_norm" if is_generator else "d_gradient_norm"
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if gradients:
                self.seen[name] = nn.utils.get_total_norm(gradients)
        super().on_before_optimizer_step(optimizer)

    def log_training(self, values: dict[str, Tensor], step: int) -> None:
        """Add the discriminator's learning rate to the row."""
        learning_rate = torch.tensor(self.trainer.optimizers[1].param_groups[0]["lr"], device=self.device)
        weight = torch.tensor(self.game.weight_at(step - 1), device=self.device)
        super().log_training({**values, "adversarial_weight": weight, "d_learning_rate": learning_rate}, step)
