"""Reading weights without running code that a file may hold, and saying plainly what does not fit."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.traits import traits

# How torch's restricted reader speaks of classes and functions that it does not load.
PICKLED_CODE = ("unsupported GLOBAL", "Unsupported global", "via `add_safe_globals`", "unrecognized function")

# Names under which common toolboxes keep the state dict, the best one first.
WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")

# What stands before the evaluated network's names in a checkpoint of a training: the moving average's first, then those
# of before trainings had players.
OF_A_TRAINING = ("recipe.player.average.module.", "recipe.player.network.", "ema.module.", "network.")

# How many times larger than the file the content of an archive of weights may be.
MOST_INFLATED = 20

# What DataParallel and torch.compile put in front of every name.
ADDED_PREFIXES = ("module.", "_orig_mod.")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint or weights file: tensors and plain values only.

    Args:
        path: a `.safetensors` file, an `.npz` of arrays, or one that torch.save wrote.

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
    if path.suffix == ".npz":
        return _read_arrays(path)
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    except Exception as error:  # a damaged file fails anywhere in the reader, in any way
        if any(hint in str(error) for hint in PICKLED_CODE):
            raise UserError(
                f"{path} holds pickled Python objects, not only tensors and plain values, and is not opened: loading "
                "it could run code. Where you trust it, save the state dict of the network that it holds, with the "
                "code that belongs to it: torch.save(network.state_dict(), FILE)."
            ) from error
        if "TorchScript" in str(error):
            raise UserError(
                f"{path} is a TorchScript program, not only weights, and is not opened. Where you trust it, save its "
                "state dict: torch.save(torch.jit.load(FILE).state_dict(), OTHER)."
            ) from error
        raise UserError(f"{path} is not a checkpoint, or it is cut off.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a checkpoint: it holds a {type(content).__name__}, not a state dict.")
    return content


def _check_archive(path: Path) -> None:
    """Refuse an archive that is made to fill the memory, as weights can hardly be compressed, or that is damaged.

    Raises:
        UserError: its content is many times larger than the file, or does not have its checksum.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            damaged = archive.testzip() if size <= MOST_INFLATED * path.stat().st_size + 2**20 else None
    except Exception:  # a damaged archive fails in any way; the reader says what is wrong with it
        return
    if size > MOST_INFLATED * path.stat().st_size + 2**20:
        raise UserError(
            f"{path} is not opened: {path.stat().st_size} bytes of it stand for {size} bytes, which no weights do."
        )
    if damaged is not None:
        raise UserError(f"{path} is damaged: its part {damaged} does not have its checksum.")


def _read_arrays(path: Path) -> dict[str, Tensor]:
    _check_archive(path)
    try:
        with zipfile.ZipFile(path):  # what np.load takes for no archive it would try as a single array or a pickle
            archive = np.load(path, allow_pickle=False)
        with archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # as above
        raise UserError(f"{path} is not an archive of numeric arrays, or it is cut off ({error}).") from error


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take the network's weights from a checkpoint: of ours (the moving average if there is one), or of a toolbox.

    Bare weights are taken as they are, but for prefixes that DataParallel or torch.compile put before every name.
    """
    state: Mapping[str, Any] = checkpoint
    for wrapper in WRAPPERS:
        if isinstance(checkpoint.get(wrapper), Mapping):
            state = checkpoint[wrapper]
            break
    tensors = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    for prefix in ADDED_PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    for prefix in OF_A_TRAINING:
        inner = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if inner:
            return inner
    return tensors


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy `state` into `network`; all of it must fit.

    A network that is whatever its weights say has a method `build_from(state, source) -> state`, which builds it and
    returns the weights under its own names. Weights that do not fit by name go through the network's own
    `convert_published(state) -> Converted`, if it has one: it knows the names, layouts and ranges of images under which
    its weights were published.

    Raises:
        UserError: something is missing, left over, of another shape or not finite; named with `source`.
    """
    said = traits(network)
    if said.build_from is not None:
        state = said.build_from(state, source)
    publisher = ""
    problem = describe_mismatch(network.state_dict(), state)
    if problem and said.convert_published is not None:
        state, publisher = said.convert_published(state)
        problem = describe_mismatch(network.state_dict(), state)
    if problem:
        read_as = f" {_share(network.state_dict(), state, publisher)}" if publisher else ""
        raise UserError(f"{source} does not fit {said.name}: {problem}.{read_as}")
    spoilt = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if spoilt:
        raise UserError(
            f"{source} holds weights that are not finite ({_few(spoilt)}): its training went wrong, and so would "
            "every image. Take an earlier checkpoint."
        )
    network.load_state_dict(dict(state))


def _share(expected: Mapping[str, Any], given: Mapping[str, Any], publisher: str) -> str:
    """How many weights of a published layout do fit, and what to try."""
    fit = sum(name in given and value.shape == given[name].shape for name, value in expected.items())
    return (
        f"Read in the layout of {publisher}, {fit} of its {len(given)} weights fit: the scale, the upsampler and the "
        "options of the model must be those of the file."
    )


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
