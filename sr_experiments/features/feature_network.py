"""A frozen classifier whose activations serve as a measure of likeness."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torchvision.models import VGG
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from sr_experiments.errors import UserError
from sr_experiments.features.backbones import build_backbone, check_architecture, input_statistics
from sr_experiments.features.mean_one import rescale_to_mean_one
from sr_experiments.features.original_magnitude import rescale_to_rms

NORMALISATIONS = ("none", "mean_one", "original")

# How torch says that nothing would be left of an image.
_TOO_SMALL = re.compile(r"Output size is too small|Kernel size can't be greater than actual input size")


class FeatureNetwork(nn.Module):
    """Named activations of a torchvision classifier.

    VGG networks (Simonyan and Zisserman, ICLR 2015) name their layers conv1_1 (before ReLU), relu1_1 (after it), ...,
    pool5; other networks by the nodes of torchvision's feature extraction, such as `layer3` or `layer3.0.conv1` of
    resnet50.

    The classifier is kept out of the module tree: it is in no state dict, parameter list, optimizer or gradient
    exchange, stays in eval mode, and follows this module to its device. Building this object is cheap; weights are
    read by `load`, at the latest when features are first asked for.

    Args:
        architecture: torchvision's name of the classifier.
        weights: `imagenet`, a file in torchvision's layout, or `random`; see `build_backbone`.
        normalise: `none`; `mean_one` to rescale every filter of a VGG network so that its mean activation on
            photographs is 1 (Gatys et al., NIPS 2015; EnhanceNet, section 4.2); or `original` to multiply every layer
            of a VGG19 so that its activations have the magnitude of the original VGG19 on values of 0 to 255.
        photographs: the images for `mean_one`: a folder or a list of files; None for the sample photographs, which are
            those of `original`.
        cache_dir: where what is measured on the photographs is kept; None for the user's cache folder.
        setting: the config key of this part, for messages.

    Attributes:
        is_random: the features mean nothing: a run that uses them is to be marked.

    Raises:
        UserError: there is no such architecture or normalisation, or `original` is given another network than vgg19,
            or photographs.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: str = "vgg19",
        weights: str | Path = "imagenet",
        normalise: str = "none",
        photographs: str | Path | Sequence[str | Path] | None = None,
        cache_dir: str | Path | None = None,
        setting: str = "feature_network",
    ) -> None:
        super().__init__()
        check_architecture(architecture)
        if normalise not in NORMALISATIONS:
            raise UserError(f"{setting}.normalise={normalise} is unknown: use {', '.join(NORMALISATIONS)}.")
        if normalise == "original" and architecture != "vgg19":
            raise UserError(f"{setting}.normalise=original is defined for vgg19, not for {architecture}: use none.")
        if normalise == "original" and photographs is not None:
            raise UserError(f"{setting}.normalise=original has its own photographs: use {setting}.photographs=null.")
        self.architecture = architecture
        self.weights = weights
        self.normalise = normalise
        self.photographs = photographs
        self.cache_dir = cache_dir
        self.setting = setting
        self.is_random = str(weights) == "random"
        mean, std = input_statistics(architecture)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        # A list and a dict: torch registers modules that are attributes, not those inside of plain containers.
        self._held: list[nn.Module] = []
        self._nodes: dict[str, str] = {}
        self._extractors: dict[tuple[str, ...], Callable[[Tensor], dict[str, Tensor]]] = {}

    @property
    def network(self) -> nn.Module:
        """The classifier without its head."""
        self.load()
        return self._held[0]

    @property
    def layers(self) -> list[str]:
        """Names of all layers, first to last."""
        self.load()
        return list(self._nodes)

    def load(self) -> None:
        """Read the weights, if that has not happened yet.

        Raises:
            UserError: they cannot be had, do not fit, or cannot be normalised.
        """
        if not self._held:
            network = self.build()
            self._nodes = layer_nodes(network)
            self._held.append(network.to(self.mean.device))

    def build(self) -> nn.Module:
        """Make the classifier; a variant of this class may change it here."""
        network = build_backbone(self.architecture, self.weights, f"{self.setting}.weights")
        if self.normalise == "mean_one":
            rescale_to_mean_one(network, self.mean, self.std, self.photographs, self.cache_dir)
        elif self.normalise == "original":
            rescale_to_rms(network, self.mean, self.std, cache_dir=self.cache_dir)
        return network

    def check(self, layers: Iterable[str]) -> None:
        """Refuse layers that the classifier does not have.

        Raises:
            UserError: it lacks one; names the nearest.
        """
        for layer in layers:
            if layer not in self.layers:
                near = difflib.get_close_matches(layer, self.layers, n=3, cutoff=0.4) or self.layers[-3:]
                raise UserError(f"{self.architecture} has no layer {layer}; nearest: {', '.join(near)}.")

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Compute activations up to the deepest layer asked for.

        Args:
            image: (B, 3, H, W) in [0, 1].
            layers: names of layers.

        Returns:
            Layer -> activation, (B, C, h, w) in most networks.

        Raises:
            UserError: there is no such layer, or the image is too small for one of them.
        """
        wanted = tuple(sorted(set(layers)))
        extractor = self._extractor(wanted)
        try:
            return extractor((image - self.mean) / self.std)
        except RuntimeError as error:
            if not _TOO_SMALL.search(str(error)):
                raise
            height, width = image.shape[-2:]
            raise UserError(
                f"An image of {height}x{width} pixels is too small for {', '.join(wanted)} of {self.architecture}, "
                f"which need {self._smallest_side(wanted)} a side: use larger crops or earlier layers."
            ) from error

    def _extractor(self, layers: tuple[str, ...]) -> Callable[[Tensor], dict[str, Tensor]]:
        if layers not in self._extractors:
            self.check(layers)
            # Shares the modules of the network, and has no others than these layers need.
            nodes = {self._nodes[layer]: layer for layer in layers}
            self._extractors[layers] = create_feature_extractor(self.network, nodes).eval()
        return self._extractors[layers]

    def _smallest_side(self, layers: tuple[str, ...]) -> int:
        for side in range(1, 512):
            try:
                with torch.no_grad():
                    self._extractor(layers)(self.mean.expand(1, 3, side, side))
            except RuntimeError:
                continue
            return side
        return 512

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Extractors may hold tensors that are replaced, not changed, by a move.
        self._extractors.clear()
        for network in self._held:
            network._apply(fn)
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        # Traced extractors neither copy nor pickle reliably, and are made again when needed.
        return {**self.__dict__, "_extractors": {}}


def layer_nodes(network: nn.Module) -> dict[str, str]:
    """Names of layers for people -> names of nodes for torchvision's feature extraction, first to last."""
    if isinstance(network, VGG):
        return _vgg_nodes(network.features)
    nodes: dict[str, str] = {}
    for node in get_graph_node_names(network)[1][1:]:  # the first one is the image
        parts = node.split(".")
        # A module's name stands for its last node.
        nodes.update({".".join(parts[:depth]): ".".join(parts[:depth]) for depth in range(1, len(parts) + 1)})
    return nodes


def _vgg_nodes(features: nn.Sequential) -> dict[str, str]:
    nodes: dict[str, str] = {}
    stage, convolution = 1, 0
    for index, layer in enumerate(features):
        if isinstance(layer, nn.Conv2d):
            convolution += 1
            name = f"conv{stage}_{convolution}"
        elif isinstance(layer, nn.BatchNorm2d):
            name = f"norm{stage}_{convolution}"
        elif isinstance(layer, nn.ReLU):
            name = f"relu{stage}_{convolution}"
        else:
            name = f"pool{stage}"
            stage, convolution = stage + 1, 0
        nodes[name] = f"features.{index}"
    return nodes
