"""Plain values from files that may be foreign: bounded in size and depth, with references that lead nowhere else."""

from __future__ import annotations

import re
from typing import Any

# The largest config of this project has some 400 values, 9 levels deep; the results of a large test have many more.
MOST_VALUES, MOST_LEVELS = 10_000, 40

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_OPTIONAL = re.compile(r"\$\{oc\.select:([\w.]+),(null|\d+)\}")


def check_tree(value: Any) -> None:
    """See that a value is a tree of mappings and lists of a sensible depth.

    Raises:
        ValueError: it is nested too deeply, or the same part stands in it twice: a few such parts inside each other
            stand for billions of values.
    """
    seen: set[int] = set()
    waiting = [(value, 1)]
    while waiting:
        node, level = waiting.pop()
        if not isinstance(node, dict | list | tuple):
            continue
        if id(node) in seen:
            raise ValueError("a part of it stands in it twice, which is not allowed")
        seen.add(id(node))
        if level > MOST_LEVELS:
            raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
        waiting += [(child, level + 1) for child in (node.values() if isinstance(node, dict) else node)]


def resolved(config: dict[str, Any], key: str) -> Any:
    """The value of a dotted key, plain references to other keys followed; None where there is none."""
    for _ in range(5):
        try:
            value = _value(config, key)
        except KeyError:
            return None
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is None:
            return value
        key = reference[1]
    return None


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(config, dict) or part not in config:
            raise KeyError(key)
        config = config[part]
    return config


def followed(config: dict[str, Any], node: Any) -> Any:
    """A part of a config with references to other keys, `${KEY}` and `${oc.select:KEY,null}`, replaced by their values.

    Nothing else of OmegaConf's `${...}` is resolved, such as environment variables: a foreign config could ask for any.

    Raises:
        ValueError: another `${...}` is left, or the references lead in circles or to too many values.
    """
    left = MOST_VALUES

    def visit(value: Any, level: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or level > MOST_LEVELS:
            raise ValueError("its references to other keys lead in circles or to too many values")
        if isinstance(value, dict):
            return {key: visit(child, level + 1) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [visit(child, level + 1) for child in value]
        if not isinstance(value, str | int | float | None):
            raise ValueError(f"it holds a {type(value).__name__}")
        if not isinstance(value, str) or "${" not in value:
            return value
        if optional := _OPTIONAL.fullmatch(value):
            found = resolved(config, optional[1])
            default = None if optional[2] == "null" else int(optional[2])
            return default if found is None else visit(found, level + 1)
        reference = _REFERENCE.fullmatch(value)
        if reference is None:
            raise ValueError(f"{value!r} in it is no plain reference to another key")
        try:
            return visit(_value(config, reference[1]), level + 1)
        except KeyError as error:
            raise ValueError(f"{value!r} in it refers to a key that is not there") from error

    return visit(node, 1)
