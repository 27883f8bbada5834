"""Where the keys of a run's config have moved: older runs are read under today's, and all runs have one identity.

Before trainings had recipes, players and stages, all their settings lay side by side under `training`, and every
optimizer had a function of its own.
"""

from __future__ import annotations

import copy
from typing import Any

_PART = "sr_experiments.training."

# A key below `training` before -> the key now.
TRAINING_KEYS = {
    "network": "recipe.player.network",
    "optimizer": "recipe.player.optimizer",
    "scheduler": "recipe.player.scheduler",
    "ema_decay": "recipe.player.ema_decay",
    "gradient_clip_val": "recipe.player.gradient_clip_val",
    "gradient_clip_algorithm": "recipe.player.gradient_clip_algorithm",
    "compile": "recipe.player.compile",
    "last_layer_rate": "recipe.player.last_layer_rate",
    "loss": "recipe.loss",
    "log_gradient_shares": "recipe.log_gradient_shares",
    "discriminator_optimizer": "recipe.discriminator_optimizer",
    "channels_last": "stages.channels_last",
    "degradation": "stages.degrade.degradation",
    "pair_pool": "stages.pool.pairs",
    "matching": "stages.match.matching",
    "accumulate_grad_batches": "accumulate_grad_batches",
    "on_nonfinite": "on_nonfinite",
    "_convert_": "_convert_",
}

# The `_target_` of a training before -> that of its recipe now.
RECIPES = {
    f"{_PART}supervised.Supervised": f"{_PART}recipes.supervised.Supervised",
    f"{_PART}adversarial.AdversarialTraining": f"{_PART}recipes.adversarial.Adversarial",
}

# What a training has beside these keys, in every run that was made before.
_REST: dict[str, Any] = {
    "_target_": f"{_PART}module.Training",
    "recipe": {"player": {"_target_": f"{_PART}player.Player", "channels_last": "${channels_last}"}},
    "stages": {
        "_target_": f"{_PART}stages.Stages",
        "scales": None,
        "degrade": {"_target_": f"{_PART}stages.degrade.Degrade"},
        "pool": {"_target_": f"{_PART}stages.pool.Pool", "crop_size": "${data.crop_size}", "scale": "${scale}"},
        "describe": {"_target_": f"{_PART}stages.describe.Describe"},
        "match": {"_target_": f"{_PART}stages.match.Match"},
    },
}

# Keys that have come since, with the value that means what was before.
ADDED = {"model.noise": 0}

# Keys whose value today means what was written as another one before: key -> (today, before).
REWRITTEN = {"callbacks.checkpoints.mode": (None, "max"), "callbacks.pruning.mode": (None, "max")}

# The function of an optimizer before -> its type now.
OPTIMIZERS = {f"{_PART}optimizers.{type.lower()}": type for type in ("Adam", "AdamW", "SGD")}


def todays_key(key: str) -> str | None:
    """The key that a key of before has become; None if it has not moved."""
    parent, _, name = key.rpartition(".")
    if key.startswith("training.") and not key.startswith("training.recipe."):
        old, _, below = key.removeprefix("training.").partition(".")
        if old in TRAINING_KEYS and TRAINING_KEYS[old] != old:
            moved = f"training.{TRAINING_KEYS[old]}" + (f".{below}" if below else "")
            return todays_key(moved) or moved
    return f"{parent}.eps" if name == "epsilon" and parent.endswith("optimizer") else None


def with_todays_keys(config: dict[str, Any]) -> dict[str, Any]:
    """A stored config of any age, unresolved, as it would be composed today; the given one is left as it is."""
    config = {key: _optimizers(value, _todays_optimizer) for key, value in config.items()}
    before = config.get("training")
    if isinstance(before, dict) and before.get("_target_") in RECIPES:
        training = copy.deepcopy(_REST)
        _put(training, "recipe._target_", RECIPES[before["_target_"]])
        for old, new in TRAINING_KEYS.items():
            if old in before:
                _put(training, new, before[old])
        config["training"] = training
    return config


def with_first_keys(config: dict[str, Any]) -> dict[str, Any]:
    """The inverse, for a config that has an equal of before; what it has beyond that is kept under today's keys.

    The identity of a run is taken of this form, so that the runs and sweeps of before are found again.
    """
    config = {key: _optimizers(value, _first_optimizer) for key, value in config.items()}
    for key, value in ADDED.items():
        if _has(config, key) and _value(config, key) == value:
            _take(config, key)
    for key, (now, before) in REWRITTEN.items():
        if _has(config, key) and _value(config, key) == now:
            _put(config, key, before)
    today = config.get("training")
    names = {new: old for old, new in RECIPES.items()}
    if isinstance(today, dict) and isinstance(today.get("recipe"), dict) and today["recipe"].get("_target_") in names:
        rest = copy.deepcopy(today)
        training = {"_target_": names[_take(rest, "recipe._target_")]}
        training.update({old: _take(rest, new) for old, new in TRAINING_KEYS.items() if _has(rest, new)})
        config["training"] = training if rest == _REST else {**training, "rest": rest}
    return config


def _optimizers(node: Any, change: Any) -> Any:
    if isinstance(node, dict):
        return change({key: _optimizers(value, change) for key, value in node.items()})
    return [_optimizers(value, change) for value in node] if isinstance(node, list) else node


def _todays_optimizer(node: dict[str, Any]) -> dict[str, Any]:
    kind = OPTIMIZERS.get(str(node.get("_target_")))
    if kind is None:
        return node
    renamed = {"eps" if key == "epsilon" else key: value for key, value in node.items()}
    return {**renamed, "_target_": f"{_PART}optimizers.make", "type": kind}


def _first_optimizer(node: dict[str, Any]) -> dict[str, Any]:
    names = {kind: target for target, kind in OPTIMIZERS.items()}
    if node.get("_target_") != f"{_PART}optimizers.make" or node.get("type") not in names:
        return node
    renamed = {"epsilon" if key == "eps" else key: value for key, value in node.items() if key != "type"}
    return {**renamed, "_target_": names[node["type"]]}


def _put(node: dict[str, Any], key: str, value: Any) -> None:
    *parents, name = key.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[name] = value


def _has(node: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    return True


def _value(node: Any, key: str) -> Any:
    for name in key.split("."):
        node = node[name]
    return node


def _take(node: dict[str, Any], key: str) -> Any:
    *parents, name = key.split(".")
    for parent in parents:
        node = node[parent]
    return node.pop(name)
