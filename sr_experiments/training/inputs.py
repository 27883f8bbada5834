"""Whether network, degradation and data belong together: found out before hours are spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sr_experiments.data.photos import Photo, some
from sr_experiments.degradations import Degradation
from sr_experiments.errors import UserError

if TYPE_CHECKING:
    from sr_experiments.data.module import SRDataModule
    from sr_experiments.training.supervised import Supervised

# Photographs with where they are from: those to train on, and those of every set.
Lists = list[tuple[str, Sequence[Photo]]]


def extra_inputs(network: nn.Module) -> tuple[str, ...]:
    """Names of what a network takes beside LR."""
    return tuple(getattr(network, "extra_inputs", ()))


def told_by(degradation: nn.Module, key: Tensor) -> dict[str, Tensor]:
    """What a degradation tells a network about samples with these keys; nothing if it is of a foreign kind."""
    return degradation.extras(key) if isinstance(degradation, Degradation) else {}


def check_inputs(module: Supervised, data: SRDataModule, training: bool = True) -> None:
    """Refuse a network, a degradation and photographs that cannot work together.

    For a training one gray crop is degraded, and shown to a network that takes more than LR.

    Args:
        module: has the network and the degradation.
        data: the photographs.
        training: whether the training photographs count.

    Raises:
        UserError: the degradation has another scale or a kernel larger than a crop, an input of the network is missing
            or has another shape than it takes, or a pool of pairs cannot work.
    """
    network, degradation = module.network, module.degradation
    if not math.isclose(float(degradation.scale), data.scale, rel_tol=1e-6):  # type: ignore[arg-type]
        raise UserError(
            f"The degradation shrinks by {float(degradation.scale):g} and the network enlarges by "  # type: ignore[arg-type]
            f"scale={data.scale:g}: leave degradation.scale as it is, ${{scale}}."
        )
    to_train = data.train if training and data.train is not None else ()
    lists: Lists = [("data.train", to_train), *data.sets.items()]
    for name in extra_inputs(network):
        if name == "condition":
            _check_conditions(network, lists)
        else:
            _check_told(name, network, degradation, lists)
    if to_train:
        _check_pool(module, data)
    if any(photo.lr is None for photo in to_train):
        _try(network, degradation, data)


def _check_conditions(network: nn.Module, lists: Lists) -> None:
    for name, photos in lists:
        alone = [photo.name for photo in photos if photo.condition is None]
        if alone:
            remedy = (
                "give data.train.condition=DIR with NAME.npy or NAME.png for each (data=folder)"
                if name == "data.train"
                else f"put NAME.npy or NAME.png for each into the folder {name}/condition, or choose other sets"
            )
            raise UserError(
                f"{type(network).__name__} takes a condition, a map of classes, beside LR, and none belongs to "
                f"{some(alone)} of {name}: {remedy}."
            )


def _check_told(name: str, network: nn.Module, degradation: nn.Module, lists: Lists) -> None:
    who = type(network).__name__
    if name not in told_by(degradation, torch.zeros(1, dtype=torch.int64)):
        raise UserError(
            f"{who} takes a {name} beside LR, which the degradation {type(degradation).__name__} does not give: leave "
            "the degradation to the model, or choose degradation=srmd."
        )
    for where, photos in lists:
        stored = [photo.name for photo in photos if photo.lr is not None]
        if stored:
            raise UserError(
                f"{who} must be told how LR was made, and of the stored LR images of {some(stored)} in {where} nobody "
                "knows: choose photographs without LR images (of a set with both, data.sets=[SET/HR])."
            )


def _check_pool(module: Supervised, data: SRDataModule) -> None:
    if module.pair_pool is None:
        return
    if module.matching is not None or data.references is not None or "condition" in extra_inputs(module.network):
        raise UserError(
            "training.pair_pool mixes pairs of HR and LR, which references and conditions would no longer belong to: "
            "leave it at null."
        )
    part = data.step_images // module.accumulate_grad_batches
    if module.pair_pool < part:
        raise UserError(f"training.pair_pool={module.pair_pool} cannot mix batches of {part}: make it larger, or null.")


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
    if not extra_inputs(network):
        return
    given = {**told_by(degradation, key), "condition": torch.zeros(1, data.classes, data.crop_size, data.crop_size)}
    was_training = network.training
    network.eval().forward(lr, **{name: given[name] for name in extra_inputs(network)})  # past torch.compile
    network.train(was_training)
