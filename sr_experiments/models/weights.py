"""Reading weights without running code that a file may hold, and saying plainly what does not fit."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError

# Names under which common toolboxes keep the state dict, the best one first.
WRAPPERS = ("params_ema", "params", "state_dict")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint or weights file: tensors and plain values only.

    Args:
        path: a `.safetensors` file, or one that torch.save wrote.

    Raises:
        UserError: there is no such file, it is none of these, or it holds pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(f"{path} is not a safetensors file, or it is cut off ({error}).") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported" in str(error):
            raise UserError(
                f"{path} holds pickled Python objects, not only tensors and plain values, and is not opened: loading "
                "it could run code. Convert it to safetensors on a machine where you trust it."
            ) from error
        raise UserError(f"{path} is not a checkpoint.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, AssertionError) as error:
        raise UserError(f"{path} is not a checkpoint, or it is cut off.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a checkpoint: it holds a {type(content).__name__}, not a state dict.")
    return content


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of the network in a checkpoint of ours (the moving average where there is one) or in a bare file."""
    state: Mapping[str, Any] = checkpoint
    for wrapper in WRAPPERS:
        if isinstance(checkpoint.get(wrapper), Mapping):
            state = checkpoint[wrapper]
            break
    for prefix in ("ema.module.", "network."):
        inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if inner:
            return inner
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy `state` into `network`; all of it must fit.

    Raises:
        UserError: something is missing, left over, or of another shape; named with `source`.
    """
    problem = describe_mismatch(network.state_dict(), state)
    if problem:
        raise UserError(f"{source} does not fit {type(network).__name__}: {problem}.")
    network.load_state_dict(dict(state))


def describe_mismatch(expected: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Say in what `given` differs from the `expected` names and shapes; empty if in nothing."""
    missing = [name for name in expected if name not in given]
    left_over = [name for name in given if name not in expected]
    other_shape = [
        f"{name} is {tuple(given[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in given and isinstance(value, Tensor) and value.shape != given[name].shape
    ]
    parts = [f"missing {_few(missing)}"] if missing else []
    parts += [f"left over {_few(left_over)}"] if left_over else []
    parts += [_few(other_shape)] if other_shape else []
    return "; ".join(parts)


def _few(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
