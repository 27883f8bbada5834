"""Whether a classifier recognises the enlarged image: Sajjadi et al. (EnhanceNet), ICCV 2017, section 5."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
import torchvision
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.features.backbones import check_architecture, file_state, imagenet_state
from sr_experiments.features.feature_network import FeatureNetwork
from sr_experiments.losses.dists import DISTS
from sr_experiments.losses.lpips import BACKBONES, LPIPS
from sr_experiments.models.weights import load_weights
from sr_experiments.runs.folder import RunFolder


class Recognition(nn.Module):
    """1 where the right class is among the classifier's best guesses, 0 where not: the mean over a set is its accuracy.

    The paper shrinks 224x224 crops of ImageNet's validation images to 56x56 and enlarges them again. Images of another
    size are shrunk and cropped as torchvision does for this classifier.

    A network that was trained with features of a classifier does well with that classifier for this reason alone, so a
    classifier of the same family (`vgg16` and `vgg19`) is refused.

    Args:
        labels: a text file with a line `NAME CLASS` for every image, as the lists of ImageNet's validation set have:
            its name in its set, with or without suffix, and the number of the class, counted from 0.
        guesses: how many best guesses may contain the right class.
        architecture: torchvision's name of the classifier.
        weights: `imagenet`, or a file in torchvision's layout with the classifier's head.
        run: the run folder or checkpoint that is scored, in whose config the loss is looked up; None in a training,
            which knows its loss.
        allow_same_backbone: whether the loss may have used a classifier of the same family.
        setting: the config key of this part, for messages.

    Raises:
        UserError: the labels cannot be read, an option is unknown or out of range, or the loss of `run` used a
            classifier of the same family; by `load`: weights cannot be had.
    """

    higher_is_better = True

    def __init__(
        self,
        labels: str | Path | None,
        guesses: int = 1,
        architecture: str = "resnet50",
        weights: str | Path = "imagenet",
        run: str | Path | None = None,
        allow_same_backbone: bool = False,
        setting: str = "scores.parts.top1",
    ) -> None:
        super().__init__()
        if labels is None:
            raise UserError(f"Recognition needs to know the right classes: give {setting}.labels=FILE.")
        if guesses < 1:
            raise UserError(f"{setting}.guesses={guesses} must be at least 1.")
        if str(weights) == "random":
            raise UserError("A classifier with random weights recognises nothing: use imagenet or a file.")
        check_architecture(architecture)
        self.labels = read_labels(Path(labels).expanduser())
        self.guesses = guesses
        self.architecture = architecture
        self.weights = weights
        self.allow_same_backbone = allow_same_backbone
        self.setting = setting
        self.prepare = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
        self.network: nn.Module | None = None
        if run is not None:
            self.check_backbones(backbones_of_run(Path(run)))

    def check_backbones(self, backbones: Collection[str]) -> None:
        """Check the classifiers whose features the loss used.

        Raises:
            UserError: one of them is of the same family.
        """
        same = [name for name in backbones if family(name) == family(self.architecture)]
        if same and not self.allow_same_backbone:
            raise UserError(
                f"{self.setting}: the loss looked at {same[0]}, so what {self.architecture} recognises says little. "
                f"Choose another {self.setting}.architecture, or set {self.setting}.allow_same_backbone=true."
            )

    def load(self) -> None:
        """Read the weights, if that has not happened yet.

        Raises:
            UserError: they cannot be had or do not fit.
        """
        if self.network is not None:
            return
        key = f"{self.setting}.weights"
        if str(self.weights) == "imagenet":
            state = imagenet_state(self.architecture, key)
        else:
            state = file_state(self.weights, self.architecture, key)
        with torch.random.fork_rng(
            devices=[]
        ):  # the random weights are replaced, and drawing them must not change the run's random numbers
            network = torchvision.models.get_model(self.architecture, weights=None)
        load_weights(network, state, self.weights)
        self.network = network.eval().requires_grad_(False)

    def forward(self, sr: Tensor, name: str) -> Tensor:
        """Score one image, (1, 3, H, W) in [0, 1].

        Raises:
            UserError: its class is not known.
        """
        if name not in self.labels:
            raise UserError(f"{self.setting}.labels has no line for the image {name}.")
        self.load()
        assert self.network is not None
        scores = self.network.to(sr.device)(self.prepared(sr))[0]
        best = scores.topk(min(self.guesses, len(scores))).indices
        return (best == self.labels[name]).any().float()

    def prepared(self, image: Tensor) -> Tensor:
        """The classifier's input."""
        side = self.prepare.crop_size[0]
        if image.shape[-2:] != (side, side):
            return self.prepare(image)
        mean, std = (image.new_tensor(values).view(1, 3, 1, 1) for values in (self.prepare.mean, self.prepare.std))
        return (image - mean) / std


def read_labels(path: Path) -> Mapping[str, int]:
    """Name of an image without suffix -> the number of its class.

    Raises:
        UserError: there is no such file, or a line is not a name and a number.
    """
    if not path.is_file():
        raise UserError(f"There is no file of labels {path}.")
    labels = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*(\S.*?)[\s,]+(\d+)\s*", line)
        if found is None:
            raise UserError(f"Line {number} of {path} is not a name and the number of a class: {line.strip()[:80]}")
        labels[re.sub(r"\.(png|jpe?g|bmp|tiff?|webp)$", "", found[1], flags=re.IGNORECASE)] = int(found[2])
    return labels


def family(architecture: str) -> str:
    """The letters that the name of a classifier begins with: `vgg` of `vgg19_bn`."""
    return re.match(r"[a-z]*", architecture)[0]  # type: ignore[index]


def backbones_of_loss(loss: nn.Module | None) -> set[str]:
    """Names of the classifiers whose features a loss uses."""
    modules = [] if loss is None else loss.modules()
    return {module.architecture for module in modules if isinstance(module, FeatureNetwork)}


def backbones_of_run(run: Path) -> set[str]:
    """Names of the classifiers whose features the loss of a finished run used, according to its config.

    Raises:
        UserError: the run's config is not there or cannot be read.
    """
    folder = RunFolder(run) if run.is_dir() else RunFolder.around(run)
    file = folder.config_file
    if not folder.is_run():
        raise UserError(
            f"{file} is not there, so nobody knows which classifier the loss of {run} looked at: give the whole run "
            "folder."
        )
    try:
        loss = OmegaConf.select(OmegaConf.create(folder.read_config()), "loss")
        return set(_backbones(OmegaConf.to_container(loss, resolve=True)))
    except (OmegaConfBaseException, OSError, ValueError) as error:
        raise UserError(f"The loss of the run {run} cannot be read from {file}: {error}") from error


def _backbones(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for value in node for name in _backbones(value)]
    if not isinstance(node, dict) or node.get("weight") == 0:
        return []
    kind = str(node.get("_target_", "")).rpartition(".")[2]
    found = [name for value in node.values() for name in _backbones(value)]
    if kind == FeatureNetwork.__name__:
        found.append(node.get("architecture", "vgg19"))
    elif kind == LPIPS.__name__:
        found.append(BACKBONES[node.get("net", "vgg")][0])
    elif kind == DISTS.__name__:
        found.append("vgg16")
    return found
