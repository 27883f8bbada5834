"""The scores beside PSNR and SSIM: which are computed in validations and in the test, and on which inputs."""

from __future__ import annotations

import difflib
import inspect
import logging
import re
import socket
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.metrics.directions import higher_is_better
from sr_experiments.metrics.distributions import Features
from sr_experiments.metrics.protocol import Protocol
from sr_experiments.pixels.eightbit import round_to_8bit, working_dtype

log = logging.getLogger(__name__)

# Names that the evaluation itself uses.
TAKEN = (*Protocol.metrics, "similarity", "bicubic", "images", "unavailable", "coverage")

# Without a network the system's own timeout may take minutes.
PATIENCE_SECONDS = 20.0

Perceptual = Literal["auto", "required", "off", False]


class Pair:
    """One enlarged image and what it is scored against; each attribute is computed when a score first uses it.

    Attributes:
        sr: the enlarged image as it would be saved and read again, (1, 3, H, W) in [0, 1].
        hr: the original, likewise.
        lr: what was enlarged, (1, 3, h, w).
        name: of the image in its set.
    """

    def __init__(
        self, sr: Tensor, batch: Mapping[str, Any], protocol: Protocol, degradation: Callable[..., Tensor]
    ) -> None:
        """Take one evaluated batch of one image; `sr` stands in for what the batch holds under that name."""
        self.sr = _as_saved(sr)
        self.hr = _as_saved(batch["hr"])
        self.lr: Tensor = batch["lr"]
        self.name: str = batch["name"][0]
        self._is_gray = bool(batch["gray"])
        self._key = batch.get("key")
        self._protocol = protocol
        self._degradation = degradation

    @cached_property
    def sr_plane(self) -> Tensor:
        """What the protocol scores of `sr`, (1 or 3, H - 2 * border, W - 2 * border) on the scale 0..255."""
        return self._protocol.plane(self.sr[0], self._is_gray)

    @cached_property
    def hr_plane(self) -> Tensor:
        """What the protocol scores of `hr`, likewise."""
        return self._protocol.plane(self.hr[0], self._is_gray)

    @cached_property
    def degraded(self) -> Tensor:
        """What the degradation makes of `sr`, (1, 3, h, w)."""
        return self._degradation(self.sr, self._key)


INPUTS = ("sr", "hr", "lr", "name", "sr_plane", "hr_plane", "degraded")


class Scores:
    """Scores of an image, chosen by name from parts that are modules.

    A part gets the attributes of `Pair` that its `forward` names, and returns one number. What else it may have:

    - `features(image)`, a dict of tensors, and `compare(sr_features, hr_features)` instead of `forward`: the features
      of every HR image are taken once and kept.
    - `patch_features(image)`, `of_set(sr_features, hr_features)` and `source` instead of `forward`, where it is a
      number of a set: it is given the features of the patches of all images. Parts of one source share them.
    - `load()`, where it needs weights: if they cannot be loaded, its scores are None, with one message.
    - `check_backbones(backbones)`: gets the names of the classifiers whose features the training's loss uses.
    - `higher_is_better`, unless its name is among those of `directions`.

    Where a part raises a `UserError`, the score of this image is None, with one message.

    Args:
        parts: name -> module.
        validation: the names of those that are taken in validations.
        test: the names of those that are taken in the test.
        perceptual: `auto` takes scores that need weights where these can be had, `required` refuses to start without
            them, `off` leaves such scores out.
        cache_megabytes: memory for the features of HR images; beyond it features are computed anew each time. They
            stay on the device on which they were computed.

    Attributes:
        higher_is_better: name -> whether more of a score is better.
        unavailable: name -> why a score cannot be had; filled by `load`.

    Raises:
        UserError: a name is unknown or taken, a part does not say whether more of it is better, or is no module.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        validation: Sequence[str] = (),
        test: Sequence[str] = (),
        perceptual: Perceptual = "auto",
        cache_megabytes: int = 256,
    ) -> None:
        if cache_megabytes < 0:
            raise UserError(f"scores.cache_megabytes={cache_megabytes} must not be negative.")
        if perceptual not in ("auto", "required", "off", False):
            raise UserError(f"perceptual={perceptual} is unknown: use auto, required or off.")
        for name in dict.fromkeys((*validation, *test)):
            _check_part(name, parts)
        self.parts = dict(parts)
        # YAML reads a bare `off` as false.
        is_off = perceptual in ("off", False)
        self.validation, self.test = (
            tuple(name for name in dict.fromkeys(names) if not (is_off and needs_weights(parts[name])))
            for names in (validation, test)
        )
        self.higher_is_better = {name: bool(_direction(name, parts[name])) for name in (*self.validation, *self.test)}
        self.is_required = perceptual == "required"
        self.unavailable: dict[str, str] = {}
        self._takes = {
            name: []
            if hasattr(part, "features") or is_of_set(part)
            else list(inspect.signature(part.forward).parameters)
            for name, part in self.parts.items()
            if name in self.chosen
        }
        self._hr_features = FeatureCache(cache_megabytes * 2**20)
        self._said: set[tuple[str, str]] = set()

    @property
    def chosen(self) -> list[str]:
        """The names of all scores of validations and the test."""
        return list(dict.fromkeys((*self.validation, *self.test)))

    def load(self, device: torch.device) -> None:
        """Read the weights of all chosen parts, and move them to the device on which images will be scored."""
        for name in self.chosen:
            part: Any = self.parts[name].to(device).eval().requires_grad_(False)
            if needs_weights(part) and name not in self.unavailable:
                try:
                    with _bounded_waiting():
                        part.load()
                except UserError as error:
                    self.unavailable[name] = str(error)

    def check_backbones(self, backbones: Collection[str]) -> None:
        """Pass torchvision's names of the classifiers whose features the loss uses to the chosen parts.

        Raises:
            UserError: a score would mean nothing after such a training.
        """
        for name in self.chosen:
            part: Any = self.parts[name]
            if hasattr(part, "check_backbones"):
                part.check_backbones(backbones)

    def drop_unavailable(self, agree: Callable[[bool], bool] = bool) -> None:
        """Drop the scores that some process cannot compute, and name them once. All processes must call this.

        Args:
            agree: whether a condition that holds in this process holds in all processes.

        Raises:
            UserError: weights cannot be had, and `perceptual` is `required`.
        """
        for name in self.chosen:
            if needs_weights(self.parts[name]) and not agree(name not in self.unavailable):
                self.unavailable.setdefault(name, "another process could not load its weights.")
        for name, reason in self.unavailable.items():
            if self.is_required:
                raise UserError(f"perceptual=required, but {name} is unavailable: {reason}")
            self._say(name, "", f"{name} is unavailable and recorded as null: {reason}")

    def __call__(self, names: Collection[str], pair: Pair, place: object) -> dict[str, float | None]:
        """Score one image; None for a score of a whole set.

        Args:
            names: of the scores.
            pair: the image.
            place: identifies the HR image; the same one must be the same image.
        """
        absent = {*self.unavailable, *self.over_sets(names)}
        return {name: None if name in absent else self._score(name, pair, place) for name in names}

    def over_sets(self, names: Collection[str]) -> list[str]:
        """The scores among `names` that are computed on a whole set, not on an image."""
        return [name for name in names if is_of_set(self.parts[name])]

    def patch_features(self, names: Collection[str], pair: Pair, place: object) -> Features:
        """The features of one image for scores of a whole set; see `__call__`."""
        found: dict[Hashable, tuple[Tensor, Tensor]] = {}
        for name in self.over_sets(names):
            part: Any = self.parts[name]
            if name in self.unavailable or part.source in found:
                continue
            try:
                hr = self._hr_features.get((part.source, place), partial(_whole, part, pair.hr))
                found[part.source] = (part.patch_features(pair.sr), hr["patches"])
            except UserError as error:
                self._say_of_image(name, pair, error, "left out")
        return found

    def of_set(self, names: Collection[str], features: Features) -> dict[str, float | None]:
        """Score a set by the features of all its images; None where that is not possible."""
        found: dict[str, float | None] = dict.fromkeys(self.over_sets(names))
        for name in found:
            part: Any = self.parts[name]
            if name not in self.unavailable and part.source in features:
                try:
                    found[name] = part.of_set(*features[part.source])
                except UserError as error:
                    self._say(name, str(error), f"{name} is recorded as null for some set: {error}")
        return found

    def _score(self, name: str, pair: Pair, place: object) -> float | None:
        part: Any = self.parts[name]
        try:
            if hasattr(part, "features"):
                hr_features = self._hr_features.get((name, place), lambda: part.features(pair.hr))
                value = part.compare(part.features(pair.sr), hr_features)
            else:
                value = part(**{key: getattr(pair, key) for key in self._takes[name]})
            return float(value)
        except UserError as error:
            self._say_of_image(name, pair, error, "recorded as null")
            return None

    def _say_of_image(self, name: str, pair: Pair, error: UserError, what: str) -> None:
        # Sizes differ from image to image; without them the message is the same, and is printed once.
        kind = re.sub(r"\d+", "", str(error))
        self._say(name, kind, f"{name} of {pair.name} and of images like it is {what}: {error}")

    def _say(self, name: str, kind: str, message: str) -> None:
        if (name, kind) not in self._said:
            self._said.add((name, kind))
            log.warning("%s", message)


class FeatureCache:
    """Keeps features within a memory budget; the first ones stay.

    Images come in the same order in every evaluation, so dropping the oldest entries would never give a hit.

    Args:
        budget: bytes.

    Attributes:
        used: bytes.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self.kept: dict[object, Mapping[str, Tensor]] = {}

    def get(self, place: object, make: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Return the features at a place; compute them if they are missing."""
        if place in self.kept:
            return self.kept[place]
        made = make()
        size = sum(value.numel() * value.element_size() for value in made.values())
        if self.used + size <= self.budget:
            self.kept[place] = made
            self.used += size
        return made


def is_of_set(part: nn.Module) -> bool:
    """Whether a score is computed on a whole set instead of on single images."""
    return hasattr(part, "of_set")


def needs_weights(part: nn.Module) -> bool:
    """Whether a score needs weights."""
    return hasattr(part, "load")


def _whole(part: Any, image: Tensor) -> dict[str, Tensor]:
    return {"patches": part.patch_features(image)}


def _as_saved(image: Tensor) -> Tensor:
    levels = round_to_8bit(image.to(working_dtype(image.device)) * 255)
    return levels.float() / 255


def _direction(name: str, part: nn.Module) -> bool | None:
    known = higher_is_better(name)
    return getattr(part, "higher_is_better", None) if known is None else known


def _check_part(name: str, parts: Mapping[str, Any]) -> None:
    if name in TAKEN or "/" in name or name.startswith("bicubic_"):
        raise UserError(f"scores.parts.{name}: this name has another meaning; give the score another one.")
    if name not in parts:
        near = difflib.get_close_matches(name, parts, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"There is no score {name}.{hint} There are: {', '.join(parts) or 'none'}.")
    part = parts[name]
    if not isinstance(part, nn.Module):
        raise UserError(f"scores.parts.{name} must have a _target_ that is a torch module.")
    if _direction(name, part) is None:
        raise UserError(
            f"scores.parts.{name}: is a higher or a lower value better? Give {type(part).__name__} the attribute "
            "higher_is_better, True or False."
        )
    if hasattr(part, "features") or is_of_set(part):
        return
    unknown = [key for key in inspect.signature(part.forward).parameters if key not in INPUTS]
    if unknown:
        raise UserError(f"scores.parts.{name} asks for {', '.join(unknown)}; what it can have is {', '.join(INPUTS)}.")


@contextmanager
def _bounded_waiting() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
