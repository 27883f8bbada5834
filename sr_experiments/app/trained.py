"""From a run folder or a checkpoint file back to a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from sr_experiments.app.config import check_targets, shipped_targets
from sr_experiments.errors import UserError, find_user_error
from sr_experiments.models.bounded import bounded_building
from sr_experiments.models.traits import traits
from sr_experiments.models.weights import load_weights, network_state, read_checkpoint
from sr_experiments.pixels.options import check_scale
from sr_experiments.runs.folder import RunFolder, find_checkpoint
from sr_experiments.runs.moved import with_todays_keys
from sr_experiments.runs.plain import check_tree, followed

if TYPE_CHECKING:
    from sr_experiments.matching import Matching

# The parts of a config that a checkpoint brings along, and those that only some networks have.
CARRIED = ("scale", "model", "degradation")
CARRIED_IF_THERE = ("matching",)

# The groups whose parts a checkpoint's config may name.
GROUPS = ("model", "upsampler", "block", "activation", "degradation", "matching", "feature_network")

# A network from a file may have so many modules, and 20 for each of its weights; and so many elements of weights, and
# one for each byte of the file.
MOST_MODULES, MOST_ELEMENTS = 10_000, 10_000_000

# What bare weights are scored on, which do not say what they were trained for.
BICUBIC = {"_target_": "sr_experiments.degradations.Bicubic"}


def portable_config(config: DictConfig) -> dict[str, Any]:
    """What a checkpoint carries so that it can be opened far from its run folder: plain, resolved values."""
    values = {key: config[key] for key in CARRIED}
    values.update({key: config[key] for key in CARRIED_IF_THERE if config.get(key) is not None})
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in values.items()
    }


def read_run_config(checkpoint_path: Path, checkpoint: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The network's part of the config that belongs to a checkpoint, and where it was found.

    It is read from the run folder around the file, else from the checkpoint itself.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    folder = RunFolder.around(checkpoint_path)
    carried = checkpoint.get("config")
    if not folder.is_run() and (not isinstance(carried, dict) or any(key not in carried for key in CARRIED)):
        raise UserError(
            f"{checkpoint_path} does not say which network it belongs to, as checkpoints of sr-train do. For bare "
            "weights use `sr-eval model=NAME scale=N weights=FILE` (sr-upscale: --model, --scale, --weights)."
        )
    source = folder.config_file if folder.is_run() else checkpoint_path
    try:
        check_tree(carried)
        found = folder.read_config() if folder.is_run() else with_todays_keys(carried or {})
        parts = {key: followed(found, found[key]) for key in CARRIED}
        parts |= {key: followed(found, found[key]) for key in CARRIED_IF_THERE if found.get(key) is not None}
    except (KeyError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"The config of the run, {source}, cannot be read: {error}.") from error
    return parts, str(source)


@dataclass
class TrainedNetwork:
    """A network with its weights, as a checkpoint describes it.

    Attributes:
        network: in evaluation mode, on the CPU.
        scale: the enlargement.
        degradation: the config of the degradation it was trained for; checked, plain.
        step: the generator updates it was trained for.
        matching: the config of what finds the textures of references for it, likewise; None if it takes none.
    """

    network: nn.Module
    scale: int
    degradation: dict[str, Any]
    step: int
    matching: dict[str, Any] | None = None

    def make_degradation(self) -> nn.Module:
        """Make the degradation that it was trained for.

        Raises:
            UserError: it cannot be built.
        """
        from hydra.utils import instantiate

        try:
            return instantiate(self.degradation)
        except Exception as error:
            name, problem = type(self.network).__name__, find_user_error(error) or error.__cause__ or error
            raise UserError(f"The degradation that {name} was trained with cannot be built: {problem}") from error

    def make_matching(
        self, option: str, feature_weights: str | None = None, degradation: dict[str, Any] | None = None
    ) -> Matching | None:
        """Make what finds the textures of references, and see to it that its feature network has weights.

        Args:
            option: how the user gives other weights, for messages.
            feature_weights: `imagenet` or a file, in the place of what the network was trained with; None for that.
            degradation: config of what LR images come from, where that is not what the network was trained for.

        Returns:
            None for a network that takes no references.

        Raises:
            UserError: the weights cannot be had, or the config does not fit the network.
        """
        from hydra.utils import instantiate

        from sr_experiments.losses import FeatureNetwork
        from sr_experiments.matching import Matching

        name = traits(self.network).name
        if not traits(self.network).takes_references:
            if self.matching is not None:
                raise UserError(f"{name} takes no references: leave the matching out with ~matching.")
            if feature_weights is not None:
                raise UserError(f"{name} takes no references, so nothing would read {option}: leave it out.")
            return None
        if self.matching is None:
            raise UserError(f"{name} takes references, and nothing says how to match them: matching=vgg19.")
        config = dict(self.matching)
        try:
            if degradation is not None:
                config["degradation"] = degradation
            if feature_weights is not None:
                config["feature_network"] = {**config["feature_network"], "weights": feature_weights}
            matching = instantiate(config)
            if not isinstance(matching, Matching) or not isinstance(matching.feature_network, FeatureNetwork):
                raise UserError("its config describes another part.")
            if {matching.scale, matching.degradation.scale} != {self.scale}:
                raise UserError(f"its scale is not the network's, {self.scale}.")
        except Exception as error:
            problem = find_user_error(error) or error.__cause__ or error
            raise UserError(f"The matching with references cannot be built: {problem}") from error
        try:
            matching.feature_network.load()
        except UserError as error:
            raise UserError(f"{error} In this command that is {option}.") from error
        return matching


def load_trained(path: str | Path, trust: Sequence[str] = (), scale: int | None = None) -> TrainedNetwork:
    """Build the network that a run folder or checkpoint describes, and load its weights.

    Nothing is instantiated but the parts that the shipped configs name (and those that `trust` adds), and no pickled
    code is read.

    Args:
        path: the run folder or checkpoint.
        trust: further parts that may be named.
        scale: an enlargement that is not the configured one, for a network of several; None for the configured one.

    Raises:
        UserError: the file is no checkpoint, names foreign parts, does not fit its network, or cannot have that scale.
    """
    from hydra.utils import instantiate

    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    config, source = read_run_config(file, checkpoint)
    check_targets(config, shipped_targets(*GROUPS) | frozenset(trust), source)
    state = network_state(checkpoint)
    try:
        check_scale(config["scale"])
        if not isinstance(config["scale"], int):
            raise UserError(f"its scale is {config['scale']}, not a whole number")
        with bounded_building(MOST_MODULES + 20 * len(state), MOST_ELEMENTS + file.stat().st_size):
            network = instantiate(config["model"])
            if not isinstance(network, nn.Module):
                raise UserError("its config describes no network")
            if scale not in (None, config["scale"]):
                if not traits(network).takes_scale:
                    raise UserError(f"scale={scale} was asked for, but {path} enlarges by {config['scale']}.")
                for part in (config, config["model"], config["degradation"]):
                    part["scale"] = scale
                network = instantiate(config["model"])
    except Exception as error:
        problem = find_user_error(error) or error.__cause__ or error
        raise UserError(f"The network of {source} cannot be built: {problem}") from error
    load_weights(network, state, file)
    step = checkpoint.get("global_step", 0)
    matching = without_folders(config.get("matching"))
    if not isinstance(matching, dict | None):
        raise UserError(f"The config of {source} holds {matching!r} where the matching with references belongs.")
    return TrainedNetwork(network.eval(), config["scale"], config["degradation"], step, matching)


def load_named(config: DictConfig) -> TrainedNetwork:
    """Build the network that a composed config names, and load the bare weights that it names.

    Args:
        config: composed as for `sr-eval`, with `model`, `weights` and `scale`; without a degradation it gets bicubic's.

    Raises:
        UserError: the weights cannot be read, or do not fit the network.
    """
    from hydra.utils import instantiate

    if config.get("degradation") is None:
        OmegaConf.update(config, "degradation", {**BICUBIC, "scale": config.scale}, force_add=True)
    network = instantiate(config.model)
    load_weights(network, network_state(read_checkpoint(config.weights)), config.weights)
    degradation: Any = OmegaConf.to_container(config.degradation, resolve=True)
    chosen = config.get("matching")
    matching: Any = None if chosen is None else OmegaConf.to_container(chosen, resolve=True)
    return TrainedNetwork(network.eval(), config.scale, degradation, step=0, matching=matching)


def load_published(model: str, weights: str, scale: int, options: Sequence[str] = ()) -> TrainedNetwork:
    """Build a shipped network by name, outside of any Hydra app, and load bare weights.

    Args:
        model: as in `model=NAME`.
        weights: the file.
        scale: the enlargement.
        options: further `KEY=VALUE`, as in `model.skip=tensorflow` or `upsampler=transposed`.

    Raises:
        UserError: there is no such network or option, or the weights cannot be read or do not fit.
    """
    from sr_experiments.app.compose import compose_config
    from sr_experiments.app.config import check_config
    from sr_experiments.app.explain import in_words

    try:
        config = compose_config("eval", [f"model={model}", f"scale={scale}", *options])
        config.weights = weights
        check_config(OmegaConf.create({"model": OmegaConf.to_container(config.model, resolve=True)}))
        return load_named(config)
    except Exception as error:
        raise in_words(error, "eval") from error


def without_folders(node: Any) -> Any:
    """A plain config without the cache folders of the machine it was made on: a file must not choose where to write."""
    if isinstance(node, dict):
        return {key: None if key == "cache_dir" else without_folders(value) for key, value in node.items()}
    return [without_folders(value) for value in node] if isinstance(node, list) else node
