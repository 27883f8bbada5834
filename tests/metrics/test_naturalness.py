"""NIQE against its definition written out, with a model fitted to photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from scipy import ndimage
from scipy.special import gamma
from torch import Tensor

from sr_experiments.data.images import read_image
from sr_experiments.data.sample import sample_file
from sr_experiments.degradations import Bicubic, bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.metrics.naturalness import NIQE
from sr_experiments.metrics.scores import Scores
from sr_experiments.pixels.imresize import imresize
from tests.metrics.test_scores import CPU, pair

pytest.importorskip("deepinv")


def photograph(name: str) -> Tensor:
    return torch.from_numpy(read_image(sample_file(name))).permute(2, 0, 1)[None].float() / 255


def shape_and_widths(values: np.ndarray) -> tuple[float, float, float]:
    """Moment matching of an asymmetric generalized Gaussian (Lasmar et al. 2009)."""
    left, right = (np.sqrt(np.mean(part**2)) for part in (values[values < 0], values[values > 0]))
    ratio = left / right
    wanted = np.mean(np.abs(values)) ** 2 / np.mean(values**2) * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes = np.arange(0.2, 10.0005, 0.001)
    shape = shapes[np.argmin((gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes)) - wanted) ** 2)]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def numbers_of(patch: np.ndarray) -> list[float]:
    shape, left, right = shape_and_widths(patch.ravel())
    found = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = shape_and_widths((patch * np.roll(patch, shift, (0, 1))).ravel())
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return found


def numbers(image: Tensor) -> np.ndarray:
    """36 numbers for each whole patch of 96 pixels of an RGB image."""
    weights = np.array([0.299, 0.587, 0.114])
    gray = np.floor((image[0].double() * 255).round().numpy().transpose(1, 2, 0) @ weights + 0.5)
    gray = gray[: len(gray) // 96 * 96, : gray.shape[1] // 96 * 96]
    columns = []
    for side in (96, 48):
        blurred, squares = (
            ndimage.gaussian_filter(of, 7 / 6, mode="nearest", truncate=3 / (7 / 6)) for of in (gray, gray**2)
        )
        normal = (gray - blurred) / (np.sqrt(np.abs(squares - blurred**2)) + 1)
        rows, across = (length // side for length in gray.shape)
        corners = [(y * side, x * side) for y in range(rows) for x in range(across)]
        columns.append([numbers_of(normal[y : y + side, x : x + side]) for y, x in corners])
        gray = imresize(torch.from_numpy(gray)[None, None], scale=0.5, border="symmetric")[0, 0].numpy()
    return np.concatenate(columns, axis=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of photographs, in three kinds of files."""
    folder = tmp_path_factory.mktemp("niqe")
    rows = np.concatenate([numbers(photograph(name)) for name in ("coffee.png", "rocket.jpg", "motorcycle_left.png")])
    mean, covariance = rows.mean(axis=0), np.cov(rows.T)
    torch.save({"mu": torch.from_numpy(mean), "cov": torch.from_numpy(covariance)}, folder / "a.pt")
    scipy.io.savemat(folder / "b.mat", {"mu_prisparam": mean[None], "cov_prisparam": covariance})
    np.savez(folder / "c.npz", mu_pris_param=mean[None], cov_pris_param=covariance)
    return {"a": folder / "a.pt", "b": folder / "b.mat", "c": folder / "c.npz"}


def test_it_is_the_distance_that_the_paper_defines(model: dict[str, Path]) -> None:
    image = photograph("chelsea.png")
    known = torch.load(model["a"])
    rows = numbers(image)
    difference = rows.mean(axis=0) - known["mu"].numpy()
    both = (np.cov(rows.T) + known["cov"].numpy()) / 2
    expected = np.sqrt(difference @ np.linalg.pinv(both) @ difference)
    found = [float(NIQE(file)(image)) for file in model.values()]
    assert found[0] == pytest.approx(expected, rel=2e-3)
    assert found == [found[0]] * 3


def test_worse_images_have_more(model: dict[str, Path]) -> None:
    niqe = NIQE(model["a"])
    image = photograph("astronaut.png")
    noise = 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    blurred = bicubic_upsample(Bicubic(4)(image), 4)
    clean, *worse = (float(niqe(of.clamp(0, 1))) for of in (image, image + noise, blurred))
    assert 0 < clean < min(worse)


def test_the_border_is_cut_and_small_images_are_null(model: dict[str, Path]) -> None:
    image = photograph("astronaut.png")[..., :200, :204]
    assert float(NIQE(model["a"], border=4)(image)) == float(NIQE(model["a"])(image[..., 4:-4, 4:-4]))
    scores = Scores({"niqe": NIQE(model["a"])}, test=["niqe"])
    scores.load(CPU)
    assert scores.unavailable == {}
    assert scores(["niqe"], pair(100, 180), 0) == {"niqe": None}
    assert (scores(["niqe"], pair(100, 200), 1)["niqe"] or 0) > 0


def test_models_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"mu": torch.zeros(3), "cov": torch.zeros(3, 3)}, tmp_path / "other.pt")
    (tmp_path / "text.mat").write_text("no matrix")
    # The library looks for its own file where torch keeps downloads; one that is cut off stands for one that is not.
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "niqe_weights.pt").write_bytes(b"cut off")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    for name, message in [
        ("absent.pt", "is not there"),
        ("other.pt", "holds no model of NIQE"),
        ("text.mat", "no MATLAB file"),
        ("released", "not at hand"),
    ]:
        with pytest.raises(UserError, match=message):
            NIQE(name if name == "released" else tmp_path / name).load()
    with pytest.raises(UserError, match="border=-1"):
        NIQE(border=-1)
