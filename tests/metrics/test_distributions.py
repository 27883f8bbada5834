"""FID and KID against their formulas, and how images become patches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
import torchvision
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.metrics.distributions import FID, KID, PatchFeatures, inception, patches
from sr_experiments.metrics.scores import Scores
from tests.metrics.test_scores import CPU, pair


class Averages(nn.Module):
    """12 averages of a patch; counts the patches that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, levels: Tensor) -> Tensor:
        assert levels.dtype == torch.uint8
        self.seen += len(levels)
        return nn.functional.adaptive_avg_pool2d(levels.float() / 255, 2).flatten(1)


def features(n: int = 40, size: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator, dtype=torch.float64)
    sr, hr = torch.randn(2, n, size, generator=generator, dtype=torch.float64)
    return sr @ mixing + 0.3, hr


def direct_kid(sr: np.ndarray, hr: np.ndarray) -> float:
    def kernel(first: np.ndarray, second: np.ndarray) -> float:
        return float((first @ second / len(first) + 1) ** 3)

    n = len(sr)
    within = sum(kernel(of[i], of[j]) for of in (sr, hr) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(a, b) for a in sr for b in hr)
    return within / (n * (n - 1)) - 2 * across / n**2


def test_fid_is_the_distance_of_two_gaussians() -> None:
    sr, hr = features()
    means, covariances = zip(*((of.numpy().mean(0), np.cov(of.numpy().T)) for of in (sr, hr)), strict=True)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert FID(network=Averages()).of_set(sr, hr) == pytest.approx(expected, rel=1e-9)
    assert FID(network=Averages()).of_set(hr, hr) == pytest.approx(0, abs=1e-9)


def test_fid_of_fewer_patches_than_features_is_exact() -> None:
    sr, hr = features(n=5)
    wide = torch.zeros(5, 194, dtype=torch.float64)
    turned, _ = torch.linalg.qr(torch.randn(200, 200, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    # More features of which none says anything, and a rotation of them all, change no distance.
    first, second = (torch.cat((of, wide), dim=1) @ turned for of in (sr, hr))
    assert FID(network=Averages()).of_set(first, second) == pytest.approx(FID().of_set(sr, hr), rel=1e-9)


def test_kid_is_the_unbiased_squared_mmd() -> None:
    sr, hr = features(n=12)
    before = torch.get_rng_state()
    assert KID(network=Averages()).of_set(sr, hr) == pytest.approx(direct_kid(sr.numpy(), hr.numpy()), rel=1e-9)
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_kid_of_many_patches_is_drawn_and_always_the_same() -> None:
    kid = KID(network=Averages())
    kid.drawn = 20
    sr, hr = features(n=60)
    found = kid.of_set(sr, hr)
    assert kid.of_set(sr, hr) == found
    expected = direct_kid(sr.numpy(), hr.numpy())
    assert found != expected
    assert found == pytest.approx(expected, rel=0.1)


def test_patches_lie_on_two_grids() -> None:
    image = torch.arange(3 * 70 * 100, dtype=torch.float32).view(1, 3, 70, 100)
    found = patches(image, 32)
    corners = [(y, x) for y in (0, 32) for x in (0, 32, 64)] + [(16, 16), (16, 48)]
    assert len(found) == len(corners)
    for patch, (y, x) in zip(found, corners, strict=True):
        torch.testing.assert_close(patch, image[0, :, y : y + 32, x : x + 32])
    assert len(patches(image[..., :95], 32)) == 2 * 2 + 1  # also where half a patch more would fit
    assert patches(image, 71).shape == (0, 3, 71, 71)


def scores_of(**more: Any) -> tuple[Scores, Averages]:
    network = Averages()
    parts = {"fid": FID(patch=32, network=network), "kid": KID(patch=32, network=network)}
    return Scores(parts, test=["fid", "kid"], **more), network


def test_a_set_is_scored_by_all_of_its_patches() -> None:
    scores, network = scores_of()
    scores.load(CPU)
    piles = PatchFeatures()
    pairs = [pair(80, 112, seed=seed) for seed in range(3)]
    for index in (2, 0, 1, 1):  # whatever the order, and however often
        assert scores(["fid", "kid"], pairs[index], index) == {"fid": None, "kid": None}
        piles.add(index, scores.patch_features(["fid", "kid"], pairs[index], index))
    # Both scores share the features of the 8 patches, and those of HR are taken once.
    assert network.seen == 8 * (4 + 3)
    sr, hr = (torch.cat([network(p) for p in [
        (patches(getattr(one, of), 32) * 255).round().to(torch.uint8) for one in pairs
    ]]).double() for of in ("sr", "hr"))  # fmt: skip
    found = scores.of_set(["fid", "kid"], piles.gathered())
    assert found["fid"] == pytest.approx(scores.parts["fid"].of_set(sr, hr), rel=1e-9)
    assert found["kid"] == pytest.approx(direct_kid(sr.numpy(), hr.numpy()), rel=1e-6)
    assert found["fid"] > 1e-6


def test_what_is_too_small_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scores, _ = scores_of()
    piles = PatchFeatures()
    with caplog.at_level(logging.WARNING):
        for index, side in enumerate((28, 24, 40)):
            piles.add(index, scores.patch_features(["fid"], pair(side, side), index))
        assert scores.of_set(["fid"], piles.gathered()) == {"fid": None}
        assert scores.of_set(["kid"], {}) == {"kid": None}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "fid of cat and of images like it is left out: 28x28 pixels hold no patch of 32" in said[0]
    assert "fid is recorded as null for some set: FID needs two patches" in said[1]
    with pytest.raises(UserError, match=r"scores\.parts\.fid\.patch=1 must be"):
        FID(patch=1)


def test_weights_that_cannot_be_had(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "code.pth").write_bytes(b"cos\nsystem\n.")
    for name, message in [
        ("absent.pth", r"kid\.weights=.*absent\.pth is not there"),
        ("other.pth", "not at hand .*Missing key"),
        ("code.pth", "pickled Python objects|not a checkpoint"),
    ]:
        scores = Scores({"kid": KID(tmp_path / name, setting="scores.parts.kid")}, test=["kid"], perceptual="required")
        scores.load(CPU)
        with pytest.raises(UserError, match=message):
            scores.drop_unavailable()


@pytest.mark.slow
def test_inception_is_read_from_a_file_and_shared(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        theirs = torchvision.models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    file = str(tmp_path / "inception.pth")
    torch.save(theirs.state_dict(), file)
    before = torch.get_rng_state()
    fid, kid = FID(file, patch=64), KID(file, patch=64)
    fid.load()
    kid.load()
    torch.testing.assert_close(torch.get_rng_state(), before)
    assert fid.network is kid.network is inception(file, "x")
    assert fid.source == kid.source == (file, 64)  # by which processes put their features together
    one = pair(70, 100)
    with torch.no_grad():
        found = fid.patch_features(one.hr)
        shown = nn.functional.interpolate(patches(one.hr, 64) * 255, (299, 299), mode="bilinear", antialias=True)
        # Its first layers are torchvision's.
        ours, expected = (net.Conv2d_1a_3x3((shown - 128) / 128) for net in (fid.network, theirs.eval()))
    assert found.shape == (1, 2048)
    torch.testing.assert_close(ours, expected)
