"""Training towards the HR image: one network, one optimizer, a weighted sum of terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sr_experiments.degradations import Degradation, PairPool
from sr_experiments.errors import UserError
from sr_experiments.inference.colour import in_colour, is_on_luma, training_images
from sr_experiments.losses import WeightedSum
from sr_experiments.losses.gradients import gradient_shares
from sr_experiments.matching import Matching
from sr_experiments.models.weights import describe_mismatch
from sr_experiments.training.agreement import check_for_several_scales, check_loss, check_network
from sr_experiments.training.clipping import check_algorithm, clip_gradients
from sr_experiments.training.inputs import extra_inputs, told_by
from sr_experiments.training.nonfinite import NonFinite
from sr_experiments.training.pools import load_pools, save_pools
from sr_experiments.training.several_scales import SeveralScales

Batch = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """A term of a loss: its value before weighting, detached, and what it adds to the loss, with its graph."""

    value: Tensor
    weighted: Tensor


Terms = dict[str, Term]

# What of a batch the terms of a loss may ask for.
LOSS_INPUTS = ("hr", "lr", "key", "maps", "similarity", "outputs")


class Supervised(pl.LightningModule):
    """Trains a network on crops; one loader batch is one generator update.

    Optimization is manual so that this module and the adversarial one count, clip and accumulate alike:
    `trainer.global_step` is the number of generator updates.

    Args:
        network: (B, 3, h, w) in [0, 1] -> (B, 3, scale * h, scale * w). One whose `channels` is 1 is trained on luma,
            and evaluated with the chroma of bicubic enlargement.
        degradation: makes LR from HR on the device: (hr, key) -> lr.
        loss: weighted sum of terms; None where nothing is trained (evaluation).
        optimizer: parameters -> optimizer; None where nothing is trained.
        scheduler: optimizer -> schedule, stepped once a generator update; None for a constant learning rate.
        ema_decay: decay of the network's exponential moving average, which then is what gets evaluated; None for none.
        gradient_clip_val: largest gradient norm (or value); None for no clipping.
        gradient_clip_algorithm: `norm`, `value` or `adjusted`; see `clip_gradients`.
        accumulate_grad_batches: parts into which a loader batch is cut, each with a backward pass of its own.
        on_nonfinite: `stop` the run at a loss that is not finite, or `skip` that update and count it.
        channels_last: keep images and weights in the memory layout that convolutions like best.
        compile: compile the network with torch.compile.
        log_gradient_shares: log each term's share of the gradient norm at the image; costs a backward pass a term.
        matching: finds the textures of reference images, for a network that takes them; None for any other.
        pair_pool: pairs of each process's pool, in which the pairs of many batches are mixed; None for no pool.
        last_layer_rate: factor of the learning rate of the network's `last_layer`, which makes the image.

    Raises:
        UserError: an option is unknown or out of range, or network, loss and matching do not belong together.
    """

    plays = False  # whether it knows what to do with the adversarial part of a loss
    skipped_updates: Tensor

    def __init__(
        self,
        network: nn.Module,
        degradation: nn.Module,
        loss: WeightedSum | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        ema_decay: float | None = None,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
        accumulate_grad_batches: int = 1,
        on_nonfinite: str = "stop",
        channels_last: bool = True,
        compile: bool = False,
        log_gradient_shares: bool = False,
        matching: Matching | None = None,
        pair_pool: int | None = None,
        last_layer_rate: float = 1.0,
    ) -> None:
        super().__init__()
        check_algorithm(gradient_clip_algorithm)
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise UserError(f"ema_decay={ema_decay} must lie between 0 and 1 (0.999 is usual), or be null.")
        check_network(network, matching, last_layer_rate)
        if loss is not None:
            check_loss(loss, network, self.plays)
        self.looks_at_outputs = loss is not None and bool(loss.terms_that_take("outputs"))
        self.is_on_luma = is_on_luma(network)
        self.automatic_optimization = False
        self.network = network
        self.degradation = degradation
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.accumulate_grad_batches = accumulate_grad_batches
        self.nonfinite = NonFinite(on_nonfinite)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.memory_format)
        self.ema: AveragedModel | None = None
        if ema_decay is not None:
            average = get_ema_multi_avg_fn(ema_decay)
            self.ema = AveragedModel(network, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        self.register_buffer("skipped_updates", torch.zeros((), dtype=torch.long))
        self.log_gradient_shares = log_gradient_shares
        self.matching = matching
        self.extra_inputs = extra_inputs(network)
        self.pair_pool = pair_pool
        self.pool: PairPool | None = None
        self.last_layer_rate = last_layer_rate
        self.step_at_work = 0
        self.several_scales: SeveralScales | None = None
        if compile:
            self.network.compile()
            if self.looks_at_outputs:
                network.outputs = torch.compile(network.outputs)  # type: ignore[arg-type, assignment]

    def train_at(self, scales: SeveralScales, scale: float) -> None:
        """Train at several scales, evaluate at `scale`, the degradation's.

        Raises:
            UserError: the network cannot do them all, or the loss is made for one.
        """
        scales.check(self.network, scale)
        check_for_several_scales(self.loss, self.plays, self.pair_pool)
        self.several_scales = scales

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that validation and tests look at: the moving average where there is one."""
        return self.network if self.ema is None else self.ema.module

    def setup(self, stage: str) -> None:
        """Make the pool of pairs, whose size the data decide."""
        if stage == "fit" and self.pair_pool is not None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self.pool = PairPool(self.pair_pool, data.crop_size, data.scale)

    def configure_optimizers(self) -> Any:
        """Make the optimizer and its schedule."""
        if self.make_optimizer is None:
            raise UserError("This module was built for evaluation: it has no optimizer.")
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        if self.last_layer_rate == 1:
            return self.optimizer_with_schedule(self.make_optimizer, parameters)
        last = set(self.network.last_layer.parameters())  # type: ignore[union-attr]
        groups = [{"params": [p for p in parameters if (p in last) is is_last]} for is_last in (False, True)]
        return self.optimizer_with_schedule(self.make_optimizer, groups)

    def optimizer_with_schedule(
        self, make_optimizer: Callable[..., Optimizer], parameters: list[Any]
    ) -> dict[str, Any]:
        """An optimizer of `parameters` and its schedule, as Lightning wants to be told of them."""
        options: dict[str, Any] = {}
        if self.trainer.precision == "16-mixed" and self.looks_at_gradients:
            options["fused"] = False  # a fused optimizer unscales inside its step, too late for clipping
        optimizer = make_optimizer(parameters, **options)
        for group in optimizer.param_groups[1:]:
            group["lr"] *= self.last_layer_rate
        if self.make_scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": self.make_scheduler(optimizer)}

    @property
    def looks_at_gradients(self) -> bool:
        """Whether anything is done with the gradients between the backward pass and the optimizer's step."""
        return self.gradient_clip_val is not None

    @property
    def generator_optimizer(self) -> LightningOptimizer:
        """The network's optimizer; where there are more, it is the first."""
        optimizers = self.optimizers()
        return optimizers[0] if isinstance(optimizers, list) else optimizers

    def prepare(self, batch: Batch) -> Batch:
        """Turn what the loader gives into images: uint8 -> float in [0, 1], and LR from HR where it is missing."""
        images: dict[str, Any] = {name: self.to_image(batch[name]) for name in ("hr", "lr") if name in batch}
        if self.several_scales is not None and self.training:
            if "lr" in images:
                raise UserError("Photographs with LR images of one scale cannot train several: set scales=null.")
            with torch.autocast(self.device.type, enabled=False):
                images.update(self.several_scales(images["hr"], batch.get("key"), self.step_at_work - 1))
        elif "lr" not in images:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                images["lr"] = self.degradation(images["hr"], batch.get("key"))
        if self.training:
            self.prepare_training(batch, images)
        if any(name not in batch for name in self.extra_inputs):
            told = told_by(self.degradation, {**batch, **images}["key"])
            images.update({name: values for name, values in told.items() if name in self.extra_inputs})
        if self.matching is not None:
            images["maps"], images["similarity"] = self.textures(self.matching, {**batch, **images})
        return {**batch, **images}

    def prepare_training(self, batch: Batch, images: dict[str, Any]) -> None:
        """Exchange pairs for those of the pool, and find what SR is to be compared with where that is not HR."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            if self.pool is not None:
                hr, lr, images["key"] = self.pool(images["hr"], images["lr"], batch["key"])
                images["hr"], images["lr"] = (x.contiguous(memory_format=self.memory_format) for x in (hr, lr))
            if "lr" not in batch and isinstance(self.degradation, Degradation):
                images["target"] = self.degradation.target(images["hr"])

    def textures(self, matching: Matching, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The textures that a batch's references, or LR itself without any, have for its LR images; see `Matching`."""
        if self.training and matching.is_truth(self.step_at_work):
            return matching.truth(batch["hr"])
        references = [[image.float() / 255 for image in images] for images in batch.get("ref", [[]] * len(batch["lr"]))]
        return matching(batch["lr"], references, batch.get("key"))

    def enlarge(self, network: nn.Module, batch: Batch) -> Tensor:
        """What `network` makes of a prepared batch, (B, 3, H, W), or (B, 1, H, W) where batch and network are luma."""
        if self.matching is None:
            told = {name: batch[name] for name in self.extra_inputs}
            return network(batch["lr"], **told, **at_scale(batch))
        return network(batch["lr"], batch["maps"], batch["similarity"])

    def to_image(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> float32 in [0, 1]."""
        return (pixels.float() / 255).contiguous(memory_format=self.memory_format)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One generator update."""
        self.step_at_work = self.trainer.global_step + 1
        values = self.update(list(self.parts(batch)))
        if self.several_scales is not None:
            index, *_ = self.several_scales.draw(self.step_at_work - 1, batch["hr"].shape[-1])
            values["scale"] = torch.tensor(float(self.several_scales.scales[index]), device=self.device)
        for schedule in self.trainer.lr_scheduler_configs:
            schedule.scheduler.step()  # type: ignore[call-arg]
        if self.logs_at(self.step_at_work):
            self.log_training(values, self.step_at_work)

    def logs_at(self, step: int) -> bool:
        """Whether a row is logged after this generator update."""
        return step == 1 or step % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def update(self, parts: list[Batch]) -> dict[str, Tensor]:
        """Everything that one batch changes; returns what can be logged of it."""
        return self.generator_step(parts)

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """Cut a loader batch into the parts whose gradients are accumulated."""
        size = len(batch["hr"]) // self.accumulate_grad_batches
        for start in range(0, size * self.accumulate_grad_batches, size):
            yield {name: values[start : start + size] for name, values in batch.items()}

    def generator_step(self, parts: list[Batch]) -> dict[str, Tensor]:
        """Update the network once from the gradients of all `parts`.

        Returns:
            Name -> value of the loss and of each of its terms, averaged over the parts.

        Raises:
            UserError: the loss is not finite and `on_nonfinite` is `stop`.
        """
        optimizer = self.generator_optimizer
        optimizer.zero_grad()
        rows = []
        for part in parts:
            images = self.prepare(part)
            sr, terms = self.generator_loss(training_images(images) if self.is_on_luma else images)
            loss = torch.stack([term.weighted for term in terms.values()]).sum()
            shares = self.shares(sr, terms)
            self.manual_backward(loss / len(parts))
            rows.append({"loss": loss.detach(), **{name: term.value for name, term in terms.items()}, **shares})
        values = mean_values(rows)
        self.guard(optimizer, values, "loss")
        optimizer.step()
        if self.ema is not None:
            self.ema.update_parameters(self.network)
        return values

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Terms]:
        """What the network makes of one part, (B, 3, H, W), and the terms of its loss by name."""
        batch = self.learn_from(batch)
        return batch["sr"], self.image_terms(batch["sr"], batch)

    def learn_from(self, batch: Batch) -> Batch:
        """A prepared batch with what the network in training makes of it: `sr` and, if terms ask for it, `outputs`."""
        if not self.looks_at_outputs:
            return {**batch, "sr": self.enlarge(self.network, batch).float()}
        outputs = [image.float() for image in self.network.outputs(batch["lr"], **at_scale(batch))]  # type: ignore[operator]
        return {**batch, "sr": outputs[-1], "outputs": outputs}

    def image_terms(self, sr: Tensor, batch: Batch) -> Terms:
        """The terms of the weighted sum, which compare SR with the degradation's target, usually HR itself."""
        assert self.loss is not None
        batch = {**batch, "hr": batch.get("target", batch["hr"])}
        # Losses are sums over many pixels: they are taken in full precision.
        with torch.autocast(self.device.type, enabled=False):
            inputs = {name: batch[name] for name in LOSS_INPUTS if name in batch}
            values = self.loss.values(sr=sr, step=self.step_at_work - 1, **inputs)
            return {name: Term(value.detach(), self.loss.weights[name] * value) for name, value in values.items()}

    def shares(self, sr: Tensor, terms: Terms) -> dict[str, Tensor]:
        """Each term's share of the gradient norm at the image, where it is asked for and logged now."""
        if not self.log_gradient_shares or not self.logs_at(self.step_at_work):
            return {}
        shares = gradient_shares({name: term.weighted for name, term in terms.items()}, sr)
        return {f"{name}_share": sr.new_tensor(share) for name, share in shares.items()}

    def guard(self, optimizer: LightningOptimizer, values: dict[str, Tensor], loss: str) -> None:
        """See to it that a loss that is not finite, `values[loss]`, changes no weight.

        Raises:
            UserError: it is not finite and `on_nonfinite` is `stop`, or too many updates in a row were skipped.
        """
        if self.nonfinite.passes(values, loss, self.is_finite(values[loss]), self.step_at_work, self.last_good):
            return
        self.skipped_updates += 1
        # An fp16 gradient scaler finds the gradients non-finite by itself and must see them to lower its scale.
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            optimizer.zero_grad()

    @property
    def last_good(self) -> str | None:
        """The checkpoint that was written last."""
        return getattr(self.trainer.checkpoint_callback, "last_saved", None)

    def is_finite(self, loss: Tensor) -> bool:
        """Whether a loss is finite, on every rank."""
        finite = torch.isfinite(loss).float()
        if self.trainer.world_size > 1:
            finite = self.trainer.strategy.reduce(finite, reduce_op="mean")
        return bool(finite == 1)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip gradients; Lightning calls this after fp16 gradients are unscaled."""
        if self.gradient_clip_val is not None:
            clip_gradients(optimizer, self.gradient_clip_val, self.gradient_clip_algorithm)

    def log_training(self, values: dict[str, Tensor], step: int) -> None:
        """Write the values of this step to the progress bar and the loggers, averaged over the ranks."""
        numbers = torch.stack([value.float() for value in values.values()])
        if self.trainer.world_size > 1:
            numbers = self.trainer.strategy.reduce(numbers, reduce_op="mean")
        row = {f"train/{name}": value for name, value in zip(values, numbers.tolist(), strict=True)}
        weights = {} if self.loss is None else self.loss.weights
        row.update({f"train/{name}_weight": weight for name, weight in weights.items()})
        row["train/learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        if self.nonfinite.skips:
            row["train/skipped_updates"] = float(self.skipped_updates)
        self.trainer.progress_bar_metrics["loss"] = row["train/loss"]
        for logger in self.trainer.loggers:
            logger.log_metrics(row, step=step)

    def on_validation_start(self) -> None:
        """Give every process the running averages (batch norm) of the first, whose checkpoint they will be."""
        if self.trainer.world_size > 1:
            for buffer in self.evaluated_network.buffers():
                torch.distributed.broadcast(buffer, src=0)

    on_test_start = on_validation_start

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Enlarge one image in full precision; callbacks measure and keep it."""
        with torch.autocast(self.device.type, enabled=False):
            images = self.prepare(batch)
            return {**images, "sr": self.enlarge(in_colour(self.evaluated_network), images)}

    test_step = validation_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the pools of pairs of all processes."""
        save_pools(self.pool, self.trainer, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what does not fit before torch says it at length; fill the pool of pairs again."""
        problem = describe_mismatch(self.state_dict(), checkpoint.get("state_dict", {}))
        if problem:
            raise UserError(f"The checkpoint belongs to another network or configuration: {problem}.")
        load_pools(self.pool, self.trainer, checkpoint)


def at_scale(batch: Batch) -> dict[str, float]:
    """What to tell a network of several scales beside the images: the scale of the batch, where it has one."""
    return {"scale": batch["scale"]} if "scale" in batch else {}


def mean_values(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every name over `rows` that all have the same names."""
    return {name: torch.stack([row[name].float() for row in rows]).mean() for name in rows[0]}
