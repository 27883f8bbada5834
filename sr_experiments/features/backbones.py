"""Torchvision classifiers with their weights, for losses that look at features. Nothing is random unless asked for."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.weights import describe_mismatch, network_state, read_checkpoint

# What torchvision calls the part that turns features into class scores; features never need it.
HEADS = ("classifier", "fc", "head", "heads")


def check_architecture(name: str) -> None:
    """Refuse a name that is not one of torchvision's classifiers.

    Raises:
        UserError: it is none.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "vgg19, vgg16, resnet50"
        raise UserError(f"architecture={name} is not one of torchvision's classifiers; nearest: {near}.")


def input_statistics(architecture: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of RGB in [0, 1] with which torchvision trained a classifier."""
    preset = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    return list(preset.mean), list(preset.std)


def build_backbone(architecture: str, weights: str | Path, setting: str) -> nn.Module:
    """Make a frozen classifier without its head, in eval mode, whose activations are never overwritten in place.

    Args:
        architecture: torchvision's name of it.
        weights: `imagenet` (torchvision's, downloaded once), `random` (always the same ones), or a file with a state
            dict in torchvision's layout; for VGG it may lack the prefix `features.`. The head may be there or not.
        setting: the config key of `weights`, for messages.

    Raises:
        UserError: the weights cannot be had or do not fit.
    """
    if str(weights) == "random":
        # These weights are in no checkpoint: a seed of their own brings the same ones back when a run is resumed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _without_head(torchvision.models.get_model(architecture, weights=None))
    else:
        # On `meta`, nothing is drawn or held for weights that are about to be replaced.
        with torch.device("meta"):
            network = _without_head(torchvision.models.get_model(architecture, weights=None))
        if str(weights) == "imagenet":
            _fill(network, imagenet_state(architecture, setting), f"torchvision's {architecture}")
        else:
            _fill(network, file_state(weights, architecture, setting), str(weights))
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return network.eval().requires_grad_(False)


def _without_head(network: nn.Module) -> nn.Module:
    for name in HEADS:
        if hasattr(network, name):
            setattr(network, name, nn.Identity())
    return network


def imagenet_state(architecture: str, setting: str) -> Mapping[str, Tensor]:
    """Get torchvision's own weights of a classifier, downloaded once.

    Raises:
        UserError: they cannot be had; `setting` is the config key to name a file with.
    """
    entry = torchvision.models.get_model_weights(architecture).DEFAULT
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(
            f"The ImageNet weights of {architecture} are not at hand: {entry.url} could not be loaded ({reason}). "
            f"Put that file into {folder}, or name a file in torchvision's layout with {setting}=FILE."
        ) from error


def file_state(path: str | Path, architecture: str, setting: str) -> Mapping[str, Tensor]:
    """Read the weights of a classifier from a file in torchvision's layout.

    Raises:
        UserError: there is no such file, or it cannot be read; `setting` is the config key that named it.
    """
    if not Path(path).expanduser().is_file():
        raise UserError(
            f"{setting}={path} is not there: it takes imagenet, or a file with the weights of {architecture} in "
            "torchvision's layout (.pth or .safetensors)."
        )
    return network_state(read_checkpoint(Path(path).expanduser()))


def _fill(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Put `state` in the place of meta tensors."""
    if state and all(name[0].isdigit() for name in state):
        state = {f"features.{name}": value for name, value in state.items()}
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in state.items()
        if name.split(".")[0] not in HEADS
    }
    # Files written before torch counted batches lack the counters, which nothing here reads.
    expected = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    problem = describe_mismatch(expected, {name: value for name, value in state.items() if "num_batches" not in name})
    if problem:
        raise UserError(f"{source} does not fit {type(network).__name__}: {problem}.")
    network.load_state_dict(state, strict=False, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise UserError(f"{source} leaves a part of {type(network).__name__} without values: use another network.")
