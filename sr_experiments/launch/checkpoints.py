"""From a run folder or a checkpoint file back to a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from yaml import YAMLError  # type: ignore[import-untyped]

from sr_experiments.errors import UserError
from sr_experiments.launch.app import find_user_error
from sr_experiments.launch.config import check_targets, shipped_targets
from sr_experiments.models.weights import load_weights, network_state, read_checkpoint

# The parts of a config that a checkpoint brings along.
CARRIED = ("scale", "model", "degradation")

# What bare weights are scored on, which do not say what they were trained for.
BICUBIC = {"_target_": "sr_experiments.degradations.Bicubic"}


def portable_config(config: DictConfig) -> dict[str, Any]:
    """What a checkpoint carries so that it can be opened far from its run folder: plain, resolved values."""
    values = {key: config[key] for key in CARRIED}
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in values.items()
    }


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint file that `path` means: the file itself, or `last.ckpt` of a run folder.

    Raises:
        UserError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        inside = path / "checkpoints" / "last.ckpt"
        if not inside.is_file():
            raise UserError(f"{path} is not a run folder with a checkpoint: {inside} does not exist.")
        return inside
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}: give a run folder or a .ckpt file.")
    return path


def read_run_config(checkpoint_path: Path, checkpoint: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The network's part of the config that belongs to a checkpoint, and where it was found.

    It is read from the run folder around the file, else from the checkpoint itself.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    run_file = checkpoint_path.parent.parent / ".hydra" / "config.yaml"
    carried = checkpoint.get("config")
    if not run_file.is_file() and (not isinstance(carried, dict) or any(key not in carried for key in CARRIED)):
        raise UserError(
            f"{checkpoint_path} does not say which network it belongs to, as checkpoints of sr-train do. For bare "
            "weights use `sr-eval model=NAME scale=N weights=FILE`."
        )
    source = run_file if run_file.is_file() else checkpoint_path
    try:
        config = OmegaConf.load(run_file) if run_file.is_file() else OmegaConf.create(carried)
        assert isinstance(config, DictConfig), "it is not a mapping"
        return portable_config(config), str(source)
    except (OmegaConfBaseException, YAMLError, KeyError, AssertionError, OSError, ValueError) as error:
        raise UserError(f"The config of the run, {source}, cannot be read: {error}.") from error


@dataclass
class TrainedNetwork:
    """A network with its weights, as a checkpoint describes it.

    Attributes:
        network: in evaluation mode, on the CPU.
        scale: the enlargement.
        degradation: the config of the degradation it was trained for; checked, plain.
        step: the generator updates it was trained for.
    """

    network: nn.Module
    scale: int
    degradation: dict[str, Any]
    step: int


def load_trained(path: str | Path, trust: Sequence[str] = ()) -> TrainedNetwork:
    """Build the network that a run folder or checkpoint describes, and load its weights.

    Nothing is instantiated but the parts that the shipped configs name (and those that `trust` adds), and no pickled
    code is read.

    Raises:
        UserError: the file is no checkpoint, names foreign parts, or does not fit its network.
    """
    from hydra.utils import instantiate

    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    config, source = read_run_config(file, checkpoint)
    check_targets(config, shipped_targets("model", "upsampler", "degradation") | frozenset(trust), source)
    try:
        network = instantiate(config["model"])
        if not isinstance(network, nn.Module) or not isinstance(config["scale"], int):
            raise UserError(f"The config of {source} describes no network with a whole scale.")
    except Exception as error:
        problem = find_user_error(error) or f"The network of {source} cannot be built: {error.__cause__ or error}"
        raise UserError(str(problem)) from error
    load_weights(network, network_state(checkpoint), file)
    step = checkpoint.get("global_step", 0)
    return TrainedNetwork(network.eval(), config["scale"], config["degradation"], step)
