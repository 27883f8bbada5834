"""Whether recipe, stages and data belong together: found out before hours are spent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from sr_experiments.degradations import Degradation
from sr_experiments.errors import UserError
from sr_experiments.inference import colour
from sr_experiments.inputs.base import Lists
from sr_experiments.inputs.of_network import inputs_of, stand_ins
from sr_experiments.losses import WeightedSum
from sr_experiments.models.traits import traits
from sr_experiments.models.which import models_that
from sr_experiments.training.stages.scales import SeveralScales

if TYPE_CHECKING:
    from sr_experiments.data.module import SRDataModule
    from sr_experiments.training.recipe import Recipe
    from sr_experiments.training.stages import Stages


def check_parts(recipe: Recipe, stages: Stages) -> None:
    """Refuse a network, a loss and stages that cannot work together.

    Raises:
        UserError: the network lacks a matching or has no use for one; the loss has an adversarial part that the recipe
            does not train, or looks at outputs or colours that the network does not make; or several scales are
            trained with something made for one.
    """
    network, loss = recipe.player.network, recipe.loss
    check_matching(network, stages)
    if loss is not None:
        _check_loss(loss, network, trains_discriminator=len(recipe.players()) > 1)
    scales = next((stage for stage in stages.values() if isinstance(stage, SeveralScales)), None)
    if scales is not None:
        scales.check(network, float(stages.degradation.scale))  # type: ignore[arg-type]
        _check_one_scale(recipe, stages)


def check_matching(network: nn.Module, stages: Stages) -> None:
    """Refuse a network that takes references without a matching, or a matching that no network takes."""
    name = type(network).__name__
    takes_references = traits(network).takes_references
    if takes_references and stages.matching is None:
        raise UserError(f"{name} needs textures of a reference: choose a matching, matching=vgg19.")
    if stages.matching is not None and not takes_references:
        raise UserError(f"{name} has no use for textures of a reference: leave the matching out with ~matching.")


def _check_loss(loss: WeightedSum, network: nn.Module, trains_discriminator: bool) -> None:
    if loss.adversarial is not None and not trains_discriminator:
        raise UserError("training=supervised has no use for the adversarial part of this loss: use another loss.")
    of_outputs = loss.terms_that_take("outputs")
    if of_outputs and not traits(network).makes_outputs:
        raise UserError(
            f"The loss term {of_outputs[0]} looks at the images that a network makes on its way, and "
            f"{type(network).__name__} makes none: choose another loss, or "
            f"{models_that(lambda said: said.makes_outputs)}."
        )
    if colour.is_on_luma(network):
        colour.check_loss(loss)


def _check_one_scale(recipe: Recipe, stages: Stages) -> None:
    if len(recipe.players()) > 1:
        raise UserError("scales=[...] is for training=supervised: a discriminator judges crops of one size.")
    if stages.pair_pool is not None:
        raise UserError("training.stages.pool.pairs keeps pairs of one size: set it to null, or scales=null.")
    for name, term in () if recipe.loss is None else recipe.loss.terms.items():
        if hasattr(term, "degradation"):
            raise UserError(f"The loss term {name} shrinks by one scale: leave it out, or set scales=null.")


def check_data(network: nn.Module, stages: Stages, data: SRDataModule, parts: int = 0) -> None:
    """Refuse a network, a degradation and photographs that cannot work together.

    For a training one gray crop is degraded, and shown to a network that takes more than LR.

    Args:
        network: enlarges the photographs.
        stages: prepare them.
        data: the photographs.
        parts: into which a training batch is cut; 0 where nothing is trained.

    Raises:
        UserError: the degradation has another scale or a kernel larger than a crop, an input of the network is missing
            or has another shape than it takes, or a pool of pairs cannot work.
    """
    degradation = stages.degradation
    if not math.isclose(float(degradation.scale), data.scale, rel_tol=1e-6):  # type: ignore[arg-type]
        raise UserError(
            f"The degradation shrinks by {float(degradation.scale):g} and the network enlarges by "  # type: ignore[arg-type]
            f"scale={data.scale:g}: leave degradation.scale as it is, ${{scale}}."
        )
    to_train = data.train if parts and data.train is not None else ()
    photos: Lists = {"data.train": to_train, **data.sets}
    said = traits(network)
    for each in inputs_of(said):
        each.check(said, degradation, photos)
    if to_train:
        _check_pool(network, stages, data, parts)
    if any(photo.lr is None for photo in to_train):
        _try(network, degradation, data)


def _check_pool(network: nn.Module, stages: Stages, data: SRDataModule, parts: int) -> None:
    pool = stages.pair_pool
    if pool is None:
        return
    if stages.matching is not None or data.references is not None or "condition" in traits(network).inputs:
        raise UserError(
            "training.stages.pool.pairs mixes pairs of HR and LR, which references and conditions would no longer "
            "belong to: leave it at null."
        )
    size, part = len(pool.hr), data.step_images // parts
    if size < part:
        raise UserError(f"training.stages.pool.pairs={size} cannot mix batches of {part}: make it larger, or null.")


@torch.no_grad()
def _try(network: nn.Module, degradation: nn.Module, data: SRDataModule) -> None:
    hr, key = torch.full((1, 3, data.crop_size, data.crop_size), 0.5), torch.zeros(1, dtype=torch.int64)
    lr = degradation(hr, key)
    expected = data.crop_size // data.scale
    if lr.shape[-2:] != (expected, expected):
        raise UserError(
            f"The degradation {type(degradation).__name__} makes {lr.shape[-1]}x{lr.shape[-2]} pixels of a crop of "
            f"{data.crop_size}x{data.crop_size}, not {expected}x{expected} as scale={data.scale} asks for."
        )
    said = traits(network)
    if not said.inputs or said.takes_references:
        return
    told = degradation.extras(key) if isinstance(degradation, Degradation) else {}
    known = {**told, "condition": torch.zeros(1, data.classes, data.crop_size, data.crop_size)}
    given = {**stand_ins(network, lr), **{name: value for name, value in known.items() if name in said.inputs}}
    was_training = network.training
    network.eval().forward(lr, **given)  # past torch.compile
    network.train(was_training)
