"""Matches kept in files: indices and similarities, a few kilobytes a pair of images."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching.correspondence import PATCH, Correspondence
from sr_experiments.pixels.atomic import replacing

log = logging.getLogger(__name__)

PROCEDURE = "1"  # raise it when the matching of the same inputs changes

Sizes = tuple[tuple[int, int], ...]


class MatchCache:
    """A folder with one safetensors file a match, named by a digest of all that decides it.

    Several processes may use it at once: a file appears only when it is whole. What it holds is worth keeping where
    the same images are matched again, as in an evaluation or with pairs of fixed crops; random crops never return.

    Args:
        folder: made when needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    def load(
        self, name: str, grids: Mapping[str, tuple[int, int]], sizes: Mapping[str, Sizes], device: torch.device
    ) -> dict[str, Correspondence] | None:
        """Read a match.

        Args:
            name: its digest.
            grids: layer -> cells (rows, columns) of the content.
            sizes: layer -> cells of each reference.
            device: where the tensors shall be.

        Returns:
            Layer -> correspondence; None if the file is not there or is not whole.

        Raises:
            UserError: the file cannot be read.
        """
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            content = load_file(path)
        except (SafetensorError, ValueError) as error:
            log.warning("%s is damaged and will be written anew (%s).", path, error)
            return None
        except OSError as error:
            raise UserError(f"cannot read the cached match {path}: {error.strerror or error}.") from error
        found = {}
        for layer, (rows, columns) in grids.items():
            index, similarity = content.get(f"{layer}.index"), content.get(f"{layer}.similarity")
            shape = (rows - PATCH + 1, columns - PATCH + 1)
            if not _fits(index, torch.int32, shape) or not _fits(similarity, torch.float32, shape):
                log.warning("%s does not hold what its name says and will be written anew.", path)
                return None
            assert index is not None
            assert similarity is not None
            found[layer] = Correspondence(index.to(device), similarity.to(device), sizes[layer])
            if not found[layer].is_valid():
                log.warning("%s names patches that do not exist and will be written anew.", path)
                return None
        return found

    def store(self, name: str, correspondences: Mapping[str, Correspondence]) -> None:
        """Write a match.

        Raises:
            UserError: the folder cannot be written to.
        """
        tensors: dict[str, Tensor] = {}
        for layer, correspondence in correspondences.items():
            tensors[f"{layer}.index"] = correspondence.index.cpu().contiguous()
            tensors[f"{layer}.similarity"] = correspondence.similarity.cpu().contiguous()
        try:
            with replacing(self._path(name)) as unfinished:
                save_file(tensors, unfinished)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"cannot write to the folder {self.folder} for cached matches: {error}. "
                "Name another one with matching.cache_dir=FOLDER, or none with matching.cache_dir=null."
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def digest(parts: Sequence[str | Tensor]) -> str:
    """A name for some texts and tensors together: 64 hexadecimal digits, by content, type and shape."""
    found = hashlib.sha256(PROCEDURE.encode())
    for part in parts:
        if isinstance(part, Tensor):
            found.update(f"{part.dtype}{tuple(part.shape)}".encode())
            found.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            found.update(f"{len(part)}:{part}".encode())
    return found.hexdigest()


def network_digest(network: FeatureNetwork) -> str:
    """Tells feature networks apart by architecture and weights, whatever files they came from."""
    state = network.network.state_dict()
    parts: list[str | Tensor] = [network.architecture, *state, *state.values()]
    return digest(parts)


def _fits(value: Tensor | None, dtype: torch.dtype, shape: tuple[int, int]) -> bool:
    return value is not None and value.dtype == dtype and tuple(value.shape) == shape
