"""The shipped configs: where they lie, which parts they name, and whether a composed one says only what is understood."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError

# Keys that Hydra itself reads beside a `_target_`.
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def conf_dir() -> Path:
    """The folder of the shipped configs: in the wheel inside the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean X?`, or nothing where no known word is near."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]}?" if matches else ""


def walk_targets(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_` in a plain container, with its dotted path, outermost first."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from walk_targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk_targets(value, f"{path}[{index}]")


@cache
def shipped_targets(*groups: str) -> frozenset[str]:
    """The `_target_`s that the shipped options of these groups compose."""
    found = set()
    for group in groups:
        for file in (conf_dir() / group).rglob("*.yaml"):
            content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
            found |= {node["_target_"] for _, node in walk_targets(content)}
    return frozenset(found)


def check_targets(node: Any, allowed: frozenset[str], source: str) -> None:
    """Refuse a config from a file that names anything but the parts this project composes.

    Args:
        node: a plain, resolved container; what is instantiated later must be this very container.
        allowed: the targets that may appear.
        source: where the config came from, for the message.

    Raises:
        UserError: a `_target_` is not allowed.
    """
    for path, mapping in walk_targets(node):
        target = mapping["_target_"]
        if target not in allowed:
            raise UserError(
                f"The config of {source} names {target!r} at {path or 'its top'}, which is not a part of "
                "sr_experiments, so nothing was run. If you wrote that part yourself, allow it with trust=[NAME] "
                "(sr-upscale: --trust NAME)."
            )


def check_config(config: DictConfig, added: Iterable[str] = ()) -> None:
    """Refuse a composed config with keys that nothing would read.

    Args:
        config: the composed config.
        added: dotted keys that the command line added with `+`.

    Raises:
        UserError: a part does not exist, has an unknown key, or a key was added where nothing reads it.
    """
    container = OmegaConf.to_container(config, resolve=False)
    parts = dict(walk_targets(container))
    for path, mapping in parts.items():
        accepted = parameters_of(mapping["_target_"], path)
        for key in mapping:
            if key not in HYDRA_KEYS and accepted is not None and key not in accepted:
                raise UserError(
                    f"There is no key {path}.{key}; {mapping['_target_']} takes {', '.join(sorted(accepted))}."
                    f"{nearest(str(key), accepted)}"
                )
    for key in added:
        is_part = any(key == path or key.startswith(f"{path}.") or path.startswith(f"{key}.") for path in parts)
        if not is_part and not key.startswith("hydra"):
            known = dotted_keys(container)
            raise UserError(f"There is no key {key}, so nothing would read it.{nearest(key, known - {key})}")


def parameters_of(target: str, path: str) -> set[str] | None:
    """Names that a target can be given; None where it takes any.

    Raises:
        UserError: there is no such target.
    """
    module, _, name = target.rpartition(".")
    try:
        found = importlib.import_module(module)
        parameters = inspect.signature(getattr(found, name)).parameters.values()
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"The part {target!r} at {path} cannot be found: {error}.") from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def dotted_keys(node: Any, prefix: str = "") -> set[str]:
    """All keys of nested mappings, dotted."""
    if not isinstance(node, Mapping):
        return set()
    found = set()
    for key, value in node.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        found |= {path} | dotted_keys(value, path)
    return found
