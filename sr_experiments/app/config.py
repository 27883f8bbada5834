"""The shipped configs: where they lie, which parts they name, and whether a composed one is understood."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from sr_experiments.app.packages import config_folders
from sr_experiments.errors import UserError, nearest

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# Keys that Hydra itself reads beside a `_target_`.
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}

# Types of values in words.
WORDS = {
    NoneType: "null",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    Path: "a text",
}

# Groups whose options only some networks take.
EXCHANGED = ("block", "activation")


def options_of(group: str) -> list[Path]:
    """The files of a group's options, sorted by name: the shipped ones, and those of users' packages."""
    folders = [folder / group for folder in config_folders()]
    return sorted((file for folder in folders for file in folder.glob("*.yaml")), key=lambda file: file.stem)


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a plain container, with its dotted path, outermost first."""
    yield path, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from walk(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}[{index}]")


def walk_targets(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_` in a plain container, with its dotted path, outermost first."""
    for found, value in walk(node, path):
        if isinstance(value, Mapping) and "_target_" in value:
            yield found, value


@cache
def shipped_targets(*groups: str) -> frozenset[str]:
    """The `_target_`s that the options of these groups compose, the shipped ones and those of users' packages."""
    found = set()
    for folder in (folder / group for folder in config_folders() for group in groups):
        for file in folder.rglob("*.yaml"):
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
        UserError: a `_target_` is not allowed, or a text would become something else once it is instantiated.
    """
    for path, value in walk(node):
        if isinstance(value, str) and "${" in value:
            raise UserError(f"The config of {source} holds an unresolved reference at {path}, so nothing was run.")
    for path, mapping in walk_targets(node):
        target = mapping["_target_"]
        if not isinstance(target, str) or target not in allowed:
            raise UserError(
                f"The config of {source} names {target!r} at {path or 'its top'}, which is not a part of "
                "sr_experiments, so nothing was run. If you trust that part, install the package that brings it (see "
                "examples/own_parts), or allow it with trust=[NAME] (sr-upscale: --trust NAME)."
            )
        if "_args_" in mapping:
            raise UserError(
                f"The config of {source} has _args_ at {path or 'its top'}, which it may not, so nothing was run."
            )


def check_config(config: DictConfig, added: Iterable[str] = ()) -> None:
    """Refuse a composed config with keys that nothing would read.

    Args:
        config: the composed config.
        added: dotted keys that the command line added with `+`.

    Raises:
        UserError: a part does not exist, has an unknown key, a key was added where nothing reads it, or a block was
            chosen for a network that takes none.
    """
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    _check_exchanges(container)
    # The outermost first: a message names `optimizer` rather than `training.optimizer`, which refers to it.
    parts = dict(sorted(walk_targets(container), key=lambda part: part[0].count(".")))
    for path, mapping in parts.items():
        accepted = parameters_of(mapping["_target_"], path, mapping)
        for key, value in mapping.items():
            if key in HYDRA_KEYS or accepted is None:
                continue
            if key not in accepted:
                listed = f" It takes {', '.join(sorted(accepted))}." if len(accepted) <= 20 else ""
                raise UserError(f"There is no key {path}.{key}.{nearest(str(key), accepted)}{listed}")
            if isinstance(value, str) and _is_of_a_group(accepted[key]):
                raise UserError(f"{path}.{key}={value} does not choose anything: write {key}={value}.")
            if not _fits(value, accepted[key]):
                origin = _origin(config, f"{path}.{key}")
                raise UserError(f"{origin}={value} is of the wrong kind: it must be {_describe(accepted[key])}.")
    for key in added:
        is_part = any(key == path or key.startswith(f"{path}.") or path.startswith(f"{key}.") for path in parts)
        if not is_part and not key.startswith("hydra"):
            known = dotted_keys(container)
            raise UserError(f"There is no key {key}, so nothing would read it.{nearest(key, known - {key})}")


def _check_exchanges(container: Any) -> None:
    """Refuse a block or an activation for a network that has no place for it."""
    for group in EXCHANGED:
        if container.get(group) is not None and group not in (container.get("model") or {}):
            files = options_of("model")
            takers = [file.stem for file in files if f"\n{group}: ${{{group}}}" in file.read_text()]
            raise UserError(
                f"This network has no {group} to choose, so nothing would read {group}=...: leave it out, or take one "
                f"of these for the model: {', '.join(takers)}."
            )


def parameters_of(target: str, path: str, given: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Names that a target can be given, with their type hints; None where it takes any.

    A class that hands the rest of its options (`**options`) on to its base takes those of the base, too. A target whose
    options depend on what it is given says which with a function in its attribute `accepted_arguments`.

    Raises:
        UserError: there is no such target.
    """
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
        makers = _constructors(found) if inspect.isclass(found) else [found]
        signatures = [inspect.signature(maker) for maker in makers]
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"The part {target!r} at {path} cannot be found: {error}.") from error
    if hasattr(found, "accepted_arguments"):
        options = {key: value for key, value in (given or {}).items() if key not in HYDRA_KEYS}
        return dict(found.accepted_arguments(**options))
    accepted: dict[str, Any] = {}
    for maker, signature in zip(makers, signatures, strict=True):
        try:
            hints = get_type_hints(maker)
        except (NameError, TypeError):  # hints that only a type checker can read
            hints = {}
        parameters = signature.parameters.values()
        rest = [parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD]
        if rest and hints.get(rest[0], Any) is not Any:
            return None  # arguments of any name, all of one type
        names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        accepted = {**{name: hints.get(name, Any) for name in names if name != "self"}, **accepted}
        if not rest:  # else the rest is the base's
            return accepted
    return None if makers else accepted


def _constructors(kind: type) -> list[Any]:
    """The `__init__` of a class and of its bases, the nearest first."""
    return [vars(base)["__init__"] for base in kind.__mro__[:-1] if "__init__" in vars(base)]


def _origin(config: DictConfig, key: str) -> str:
    """The key whose value a key refers to, where it does, else the key itself."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent)
    if isinstance(node, DictConfig) and OmegaConf.is_interpolation(node, name):
        raw = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[index, call-overload]
        simple = re.fullmatch(r"\$\{([\w.]+)\}", raw)
        return simple[1] if simple else key
    return key


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain config value can be what a type hint says; what parts make is left to them.

    The value is read as JSON, where a list may be a tuple and a whole number a float, but no text a number.
    """
    from pydantic import ValidationError

    try:
        _adapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(_of_config(hint))


def _of_config(hint: Any) -> Any:
    """What a config holds for a type hint: in the place of an object the mapping that makes it."""
    from pydantic import AfterValidator

    part = Annotated[dict[str, Any], AfterValidator(_with_target)]
    kind, options = get_origin(hint), get_args(hint)
    if hint in (Any, *WORDS) or kind is Literal or (kind is None and getattr(hint, "__module__", "") == "builtins"):
        return hint
    if isinstance(hint, UnionType) or kind is Union:
        return Union[tuple(_of_config(option) for option in options)]  # noqa: UP007
    if kind is None and not inspect.isclass(hint):
        return Any
    if kind in (None, Callable):
        return part
    entries = tuple(option if option is ... else _of_config(option) for option in options)
    return Union[part, kind[entries]]  # noqa: UP007


def _with_target(mapping: dict[str, Any]) -> dict[str, Any]:
    if "_target_" not in mapping:
        raise ValueError("there is no _target_")
    return mapping


def _is_of_a_group(hint: Any) -> bool:
    """Whether a type hint asks for what an option of a group makes."""
    return getattr(hint, "_is_protocol", False) or any(_is_of_a_group(option) for option in get_args(hint))


def _describe(hint: Any) -> str:
    """A type hint in words."""
    kind, options = get_origin(hint), get_args(hint)
    if isinstance(hint, UnionType) or kind is Union:
        plain = [option for option in options if option is not NoneType and (option in WORDS or get_origin(option))]
        shown = [option for option in options if not plain or option in plain or option is NoneType]
        return " or ".join(dict.fromkeys(_describe(option) for option in shown))
    if kind is Literal:
        return " or ".join(str(option) for option in options)
    if kind is tuple and Ellipsis not in options:
        return f"a list of {len(options)}: {', '.join(_describe(option) for option in options)}"
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return f"a mapping, each value {_describe(options[1])}"
    if inspect.isclass(kind) and issubclass(kind, Iterable):
        return f"a list, each entry {_describe(options[0])}"
    return WORDS.get(hint, f"a part with a _target_ ({getattr(hint, '__name__', hint)})")


def dotted_keys(node: Any, prefix: str = "") -> set[str]:
    """All keys of nested mappings, dotted."""
    if not isinstance(node, Mapping):
        return set()
    found = set()
    for key, value in node.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        found |= {path} | dotted_keys(value, path)
    return found
