"""FID and KID: the distance between the patches of all SR images of a set and those of all HR images."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.weights import read_checkpoint

# Source of features -> those of the patches of an SR image and of its HR image, (patches, features) each.
Features = Mapping[Hashable, tuple[Tensor, Tensor]]

# Patches per forward pass of InceptionV3.
BATCH = 32


class PatchDistribution(nn.Module):
    """What FID and KID share: InceptionV3's 2048 features of patches, as torchmetrics and torch-fidelity take them.

    A set of SR has few images, which are large. So an image is cut into patches side by side, and once more with the
    grid moved by half a patch (Mentzer et al., "High-Fidelity Generative Image Compression", NeurIPS 2020, appendix
    A.7, with patches of 256 pixels). FID of fewer patches than features is far too large; values are then comparable
    only between runs on the same set. KID is not biased by the number.

    Args:
        weights: `released` (torch-fidelity's, downloaded once), or a file of them.
        patch: pixels a side.
        setting: the config key of this part, for messages.
        network: used in place of InceptionV3: (B, 3, patch, patch) uint8 -> (B, features); parts of one `setting`
            have the same.

    Attributes:
        source: what the features are of; parts of one source share them.

    Raises:
        UserError: `patch` is too small to be halved; by `load`: torch-fidelity or the weights cannot be had.
    """

    higher_is_better = False

    def __init__(
        self,
        weights: str | Path = "released",
        patch: int = 256,
        setting: str = "scores.parts.fid",
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if patch < 2:
            raise UserError(f"{setting}.patch={patch} must be at least 2 pixels.")
        self.weights = str(weights)
        self.patch = patch
        self.setting = setting
        self.network = network
        # The same in every process, since features are gathered by this name.
        self.source: Hashable = (self.weights if network is None else f"network of {setting}", patch)

    def load(self) -> None:
        """Read the weights, if that has not happened yet.

        Raises:
            UserError: they cannot be had.
        """
        if self.network is None:
            self.network = inception(self.weights, f"{self.setting}.weights")

    def patch_features(self, image: Tensor) -> Tensor:
        """Patch features of an image, (1, 3, H, W) in [0, 1] -> (patches, features), float64 on the CPU.

        Raises:
            UserError: the image is smaller than a patch.
        """
        self.load()
        assert self.network is not None
        cut = patches(image, self.patch)
        if not len(cut):
            height, width = image.shape[-2:]
            raise UserError(f"{width}x{height} pixels hold no patch of {self.patch}; set {self.setting}.patch=N.")
        levels = (cut * 255).round().to(torch.uint8)
        network = self.network.to(image.device)
        return torch.cat([network(some) for some in levels.split(BATCH)]).cpu().double()


class FID(PatchDistribution):
    """Frechet Inception distance (Heusel et al., NeurIPS 2017) between the patches of a set and the originals'."""

    def of_set(self, sr: Tensor, hr: Tensor) -> float:
        """Compare the features of all patches, (patches, features) each; 0 for equal ones.

        Raises:
            UserError: there are fewer than two patches.
        """
        _check_number(sr, "FID")
        means = sr.mean(dim=0) - hr.mean(dim=0)
        # Covariance = root' root. The trace of the root of their product is then the sum of the singular values of
        # root root', which stays exact where there are fewer patches than features, and needs no matrix of features by
        # features, as the product's eigenvalues would.
        roots = [torch.linalg.qr((of - of.mean(dim=0)) / (len(of) - 1) ** 0.5, mode="r").R for of in (sr, hr)]
        spread = sum(root.square().sum() for root in roots) - 2 * torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
        return float(means.square().sum() + spread)


class KID(PatchDistribution):
    """Kernel Inception distance (Binkowski et al., ICLR 2018): the squared MMD with a cubic kernel, without bias.

    It may be a little below 0. Over up to 1000 patches it is that of all; of more, the mean over 100 draws of 1000.
    """

    draws = 100
    drawn = 1000

    def of_set(self, sr: Tensor, hr: Tensor) -> float:
        """Compare the features of all patches, (patches, features) each.

        Raises:
            UserError: there are fewer than two patches.
        """
        from torchmetrics.image.kid import KernelInceptionDistance

        _check_number(sr, "KID")
        # Every process has the features of all, so that torchmetrics has nothing to gather.
        size = min(self.drawn, len(sr))
        draws = 1 if size == len(sr) else self.draws
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
            network = _AsTheyAre(sr.shape[1])
            distance = KernelInceptionDistance(network, subsets=draws, subset_size=size, sync_on_compute=False)
        distance.update(hr, real=True)
        distance.update(sr, real=False)
        # The same patches are drawn every time, without changing the run's random numbers.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return float(distance.compute()[0])


class PatchFeatures:
    """The features of the patches of one set, each image's under its index, whichever process took them."""

    def __init__(self) -> None:
        self.images: dict[int, Features] = {}

    def add(self, index: int, features: Features) -> None:
        """Keep the features of one image; an image that is seen twice counts once."""
        self.images[index] = features

    def gathered(self) -> Features:
        """The features of all images of all processes, in the order of the images; all processes must call this."""
        everyone: list[dict[int, Features]] = [self.images]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            everyone = [{} for _ in range(torch.distributed.get_world_size())]
            torch.distributed.all_gather_object(everyone, self.images)
        images = {index: of for part in everyone for index, of in part.items()}
        piles: dict[Hashable, list[tuple[Tensor, Tensor]]] = {}
        for index in sorted(images):
            for source, pair in images[index].items():
                piles.setdefault(source, []).append(pair)
        return {
            source: (torch.cat([sr for sr, _ in pairs]), torch.cat([hr for _, hr in pairs]))
            for source, pairs in piles.items()
        }


def patches(image: Tensor, side: int) -> Tensor:
    """Cut (1, C, H, W) into n x m squares from the upper left, then n - 1 x m - 1 half a square off: (N, C, s, s)."""
    half, (height, width) = side // 2, image.shape[-2:]
    whole = image[..., : height // side * side, : width // side * side]
    grids = [whole, whole[..., half:, half:]]
    cut = [
        F.unfold(grid, side, stride=side).transpose(1, 2).reshape(-1, image.shape[1], side, side)
        for grid in grids
        if min(grid.shape[-2:]) >= side
    ]
    return torch.cat(cut) if cut else image.new_empty(0, image.shape[1], side, side)


_LOADED: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()


def inception(weights: str, setting: str) -> nn.Module:
    """InceptionV3 of the original FID, shared by all scores that use it.

    Raises:
        UserError: torch-fidelity is not installed, or the weights cannot be had; `setting` is the config key of them.
    """
    if find_spec("torch_fidelity") is None:
        raise UserError("FID and KID need torch-fidelity: pip install 'sr-experiments[scores]'.")
    from torchmetrics.image.fid import NoTrainInceptionV3

    if weights in _LOADED:
        return _LOADED[weights]
    file = None
    if weights != "released":
        file = Path(weights).expanduser()
        if not file.is_file():
            raise UserError(
                f"{setting}={weights} is not there: it takes released, or a file of torch-fidelity's weights."
            )
        read_checkpoint(file)  # the library would run code stored in the file; this refuses such a file
    try:
        with torch.random.fork_rng(
            devices=[]
        ):  # the random weights are replaced, and drawing them must not change the run's random numbers
            network = NoTrainInceptionV3("inception-v3-compat", ["2048"], None if file is None else str(file))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        raise UserError(
            f"The weights of InceptionV3 are not at hand ({reason}). Give {setting}=FILE with those of torch-fidelity."
        ) from error
    _LOADED[weights] = network
    return network


class _AsTheyAre(nn.Module):
    """Passes features to torchmetrics, which expects a network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the input."""
        return features


def _check_number(features: Tensor, name: str) -> None:
    if len(features) < 2:
        raise UserError(f"{name} needs two patches or more in a set.")
