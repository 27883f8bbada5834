"""Any published network that the library spandrel knows: it tells the architecture from the names of the weights.

github.com/chaiNNer-org/spandrel; an optional extra, `pip install sr-experiments[spandrel]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError

PREFIX = "inner."


class Spandrel(nn.Module):
    """What its weights say it is; empty until `load_weights` is called with some.

    A checkpoint of a training needs the library, but not the file that the training began with.

    Args:
        scale: the enlargement, which must be that of the weights.
        upsampler: none; the weights bring theirs.

    Raises:
        UserError: an upsampler was chosen.
    """

    framework = "its own"
    needs_weights = True  # there is nothing to train or to run before

    def __init__(self, scale: int, upsampler: None = None) -> None:
        super().__init__()
        if upsampler is not None:
            raise UserError(
                "model=spandrel is the network of its weights, upsampler included: leave upsampler=... out."
            )
        self.scale = scale
        self.inner: nn.Module | None = None
        self.is_gray = False
        self.padding: Callable[[int, int], tuple[int, int]] = lambda width, height: (0, 0)
        self.call: Callable[[Any, Tensor], Tensor] = lambda network, image: network(image)

    def build_from(self, state: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
        """Become the network of these weights: those of a file, or of a checkpoint of such a network.

        Args:
            state: the weights.
            source: where they are from, for messages.

        Returns:
            The same weights under the names that they have in this network.

        Raises:
            UserError: the library is missing or does not know the weights, or they do not enlarge by the scale.
        """
        descriptor = _recognise({name.removeprefix(PREFIX): value for name, value in state.items()}, source)
        if descriptor.scale != self.scale:
            what = f"enlarges by {descriptor.scale}" if descriptor.scale > 1 else "restores, but does not enlarge"
            advice = f" Add scale={descriptor.scale}." if descriptor.scale > 1 else ""
            raise UserError(
                f"{source} is of a network ({descriptor.architecture.name}) that {what}, not of one for "
                f"scale={self.scale}.{advice}"
            )
        channels = (descriptor.input_channels, descriptor.output_channels)
        if channels not in ((1, 1), (3, 3)):
            raise UserError(
                f"{source} makes {channels[1]} channels of {channels[0]}: only RGB and gray are understood."
            )
        self.inner = without_randomness(descriptor.model)
        self.is_gray = channels == (1, 1)
        self.padding = descriptor.size_requirements.get_padding
        self.call = descriptor._call_fn  # spandrel's own call runs without gradients and clips
        return {f"{PREFIX}{name}": value for name, value in descriptor.model.state_dict().items()}

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1] -> (B, 3, scale * h, scale * w); a gray network enlarges each colour on its own.

        Raises:
            UserError: no weights were loaded.
        """
        if self.inner is None:
            raise UserError("model=spandrel is empty without weights: give weights=FILE, or init_from=FILE to train.")
        height, width = lr.shape[-2:]
        image = pad_to(lr, self.padding(width, height))
        planes = image.flatten(0, 1)[:, None] if self.is_gray else image
        sr = self.call(self.inner, planes)
        sr = sr.view(*image.shape[:2], *sr.shape[-2:]) if self.is_gray else sr
        return sr[..., : height * self.scale, : width * self.scale]


def without_randomness(network: nn.Module) -> nn.Module:
    """The network with all dropout and skipping of layers off: what it draws in a training could not be repeated."""
    for module in network.modules():
        for chance in ("p", "drop_prob"):
            if isinstance(getattr(module, chance, None), float):
                setattr(module, chance, 0.0)
    return network


def pad_to(image: Tensor, by: tuple[int, int]) -> Tensor:
    """Add columns on the right and rows at the bottom: mirrored as far as that goes, then repeated, as spandrel does.

    Args:
        image: (B, C, h, w).
        by: columns and rows to add.
    """
    columns, rows = by
    height, width = image.shape[-2:]
    mirrored = (min(columns, width - 1), min(rows, height - 1))
    image = F.pad(image, (0, mirrored[0], 0, mirrored[1]), "reflect")
    return F.pad(image, (0, columns - mirrored[0], 0, rows - mirrored[1]), "replicate")


def _recognise(state: dict[str, Tensor], source: str | Path) -> Any:
    try:
        library: Any = importlib.import_module("spandrel")
    except ImportError as error:
        raise UserError("model=spandrel needs the library spandrel: pip install 'sr-experiments[spandrel]'.") from error
    try:
        descriptor = library.ModelLoader().load_from_state_dict(state)
    except library.UnsupportedModelError as error:
        raise UserError(
            f"{source} is of no network that spandrel knows. If it is one of ours, name it: model=NAME."
        ) from error
    except Exception as error:  # it takes weights apart by name, and says nothing about those that it does not find
        raise UserError(
            f"spandrel knows such networks, but cannot load {source}: {type(error).__name__}, "
            f"{' '.join(str(error).split())[:200]}."
        ) from error
    if not isinstance(descriptor, library.ImageModelDescriptor):
        raise UserError(f"{source} is of a network that takes a mask beside the image, which nothing here gives it.")
    return descriptor
