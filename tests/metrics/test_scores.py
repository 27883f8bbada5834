"""The choice of scores: what they are given, what is kept, what is missing, and what is refused."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lpips as package
import pytest
import torch
import torchvision
from hydra.utils import instantiate
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import DISTS, LPIPS
from sr_experiments.metrics import Protocol
from sr_experiments.metrics.consistency import LRPSNR
from sr_experiments.metrics.directions import HIGHER_IS_BETTER, higher_is_better
from sr_experiments.metrics.perceptual import FeatureDistance
from sr_experiments.metrics.scores import Pair, Scores
from sr_experiments.metrics.structure import MSSSIM

CPU = torch.device("cpu")


def pair(height: int = 64, width: int = 80, name: str = "cat", seed: int = 3) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    hr = torch.randint(0, 256, (1, 3, height, width), generator=generator).float() / 255
    sr = (hr + 0.05 * torch.randn(hr.shape, generator=generator)).float()
    batch = {"hr": hr, "lr": Bicubic(4)(hr), "gray": torch.tensor([False]), "name": [name]}
    return Pair(sr, batch, Protocol("y", border=4), Bicubic(4))


def squeeze_file(folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / "squeeze.pth")
    return folder / "squeeze.pth"


class Darkness(nn.Module):
    """Counts how often it looks at an image."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def features(self, image: Tensor) -> dict[str, Tensor]:
        self.looks += 1
        return {"mean": image.mean(dim=1)}

    def compare(self, sr_features: Mapping[str, Tensor], hr_features: Mapping[str, Tensor]) -> Tensor:
        return (sr_features["mean"] - hr_features["mean"]).abs().mean()


class Unloadable(nn.Module):
    higher_is_better = True

    def load(self) -> None:
        raise UserError("its file is on the moon.")

    def forward(self, sr: Tensor) -> Tensor:
        return sr.mean()


def test_scores_see_the_image_as_it_would_be_saved() -> None:
    one = pair()
    levels = one.sr.double() * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert 0 <= float(one.sr.min()) <= float(one.sr.max()) <= 1
    torch.testing.assert_close(one.sr_plane, one._protocol.plane(one.sr[0]))
    assert one.hr_plane.shape == (1, 56, 72)
    assert one.degraded.shape == one.lr.shape
    scored = one._protocol.score(one.sr[0], one.hr[0])
    mse = float((one.sr_plane - one.hr_plane).square().mean())
    assert scored["psnr"] == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-9)


def test_lr_consistency_is_the_psnr_of_what_shrinks_again() -> None:
    one = pair()
    mse = float((Bicubic(4)(one.sr).double() - one.lr.double()).square().mean())
    value = Scores({"lr_psnr": LRPSNR()}, test=["lr_psnr"])(["lr_psnr"], one, 0)["lr_psnr"]
    assert value == pytest.approx(-10 * math.log10(mse), abs=1e-6)
    assert float(LRPSNR()(one.lr, one.lr)) == 100
    with pytest.raises(UserError, match="shrinks SR to 20x16 pixels, but LR has 20x15"):
        LRPSNR()(one.lr, one.lr[..., :-1, :])


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than:UserWarning")
@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_lpips_is_that_of_its_package(net: str, tmp_path: Path) -> None:
    theirs = package.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = {f"features.{name.split('.', 1)[1]}": value for name, value in theirs.net.state_dict().items()}
    torch.save(state, tmp_path / "backbone.pth")
    scores = Scores({"lpips": LPIPS(net, tmp_path / "backbone.pth")}, test=["lpips"], perceptual="required")
    scores.load(CPU)
    scores.drop_unavailable()
    one = pair()
    with torch.no_grad():
        found = scores(["lpips"], one, 0)["lpips"]
        expected = float(theirs(one.sr, one.hr, normalize=True))
    assert found == pytest.approx(expected, abs=1e-6)
    assert found > 1e-4


def test_features_have_the_same_result_as_whole_images(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        torch.save(torchvision.models.vgg16(weights=None).features.state_dict(), tmp_path / "vgg16.pth")
    distance = FeatureDistance(["relu1_2", "pool2"], "vgg16", tmp_path / "vgg16.pth")
    dists = DISTS(tmp_path / "vgg16.pth")
    one = pair()
    scores = Scores({"dists": dists, "vgg19_distance": distance}, test=["dists", "vgg19_distance"])
    scores.load(CPU)
    with torch.no_grad():
        found = scores(scores.test, one, 0)
        assert found["dists"] == pytest.approx(float(dists(one.sr, one.hr)), abs=1e-7)
        # The distance, written out in another way: 2 - 2 cos, averaged over positions and layers.
        maps = [distance.network(image, distance.layers) for image in (one.sr, one.hr)]
        cosines = [torch.cosine_similarity(maps[0][name], maps[1][name]) for name in distance.layers]
        lengths = [(maps[0][name].norm(dim=1) > 0) & (maps[1][name].norm(dim=1) > 0) for name in distance.layers]
    assert all(bool(length.all()) for length in lengths)
    expected = sum(float((2 - 2 * cosine).mean()) for cosine in cosines) / len(cosines)
    assert found["vgg19_distance"] == pytest.approx(expected, abs=1e-6)
    assert float(distance(one.hr, one.hr)) == 0


def test_hr_features_are_taken_once_within_the_budget() -> None:
    darkness = Darkness()
    scores = Scores({"darkness": darkness}, validation=["darkness"])
    pairs = [pair(seed=seed) for seed in range(3)]
    first = [scores(["darkness"], one, (0, place)) for place, one in enumerate(pairs)]
    assert darkness.looks == 6
    again = [scores(["darkness"], one, (0, place)) for place, one in enumerate(pairs)]
    assert darkness.looks == 9
    assert again == first
    assert len({row["darkness"] for row in first}) == 3
    # Each image takes 64 * 80 * 4 bytes; a budget of none keeps none.
    small = Scores({"darkness": Darkness()}, validation=["darkness"], cache_megabytes=0)
    assert [small(["darkness"], one, place) for place, one in enumerate(pairs)] == first
    assert small._hr_features.used == 0
    cache = scores._hr_features
    assert cache.used == 3 * 64 * 80 * 4
    cache.budget = cache.used
    scores(["darkness"], pairs[0], "another place")
    assert len(cache.kept) == 3


def test_an_image_too_small_is_null_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scores = Scores({"ms_ssim": MSSSIM()}, test=["ms_ssim"])
    with caplog.at_level(logging.WARNING):
        assert scores(["ms_ssim"], pair(180, 240), 0) == {"ms_ssim": None}
        assert scores(["ms_ssim"], pair(100, 80, name="dog"), 1) == {"ms_ssim": None}
        assert (scores(["ms_ssim"], pair(192, 192), 2)["ms_ssim"] or 0) > 0
    (record,) = caplog.records
    assert "ms_ssim of cat and of images like it is recorded as null: MS-SSIM needs 176" in record.getMessage()


def test_weights_that_cannot_be_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = {"lpips": LPIPS("alex", tmp_path / "absent.pth", setting="scores.parts.lpips"), "lr_psnr": LRPSNR()}
    scores = Scores(parts, test=["lr_psnr", "lpips"])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            scores.load(CPU)
            scores.drop_unavailable()
    (record,) = caplog.records
    assert "lpips is unavailable and recorded as null: scores.parts.lpips.weights=" in record.getMessage()
    row = scores(scores.test, pair(), 0)
    assert row["lpips"] is None
    assert row["lr_psnr"] is not None
    required = Scores(parts, test=["lpips"], perceptual="required")
    required.load(CPU)
    with pytest.raises(UserError, match=r"perceptual=required, but lpips is unavailable: .*absent\.pth is not there"):
        required.drop_unavailable()
    off: Any
    for off in ("off", False):
        without = Scores(parts, validation=["lpips"], test=["lr_psnr", "lpips"], perceptual=off)
        assert (without.validation, without.test) == ((), ("lr_psnr",))


def test_what_one_process_lacks_no_process_records(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    scores = Scores({"lpips": LPIPS("squeeze", squeeze_file(tmp_path))}, test=["lpips"])
    scores.load(CPU)
    with caplog.at_level(logging.WARNING):
        scores.drop_unavailable(lambda mine: False)
    assert "another process could not load its weights" in caplog.text
    assert scores(["lpips"], pair(), 0) == {"lpips": None}


def test_weights_are_read_only_of_what_is_chosen() -> None:
    scores = Scores({"lr_psnr": LRPSNR(), "moon": Unloadable()}, test=["lr_psnr"], perceptual="required")
    scores.load(CPU)
    scores.drop_unavailable()
    assert scores.unavailable == {}


@pytest.mark.parametrize(
    ("parts", "chosen", "message"),
    [
        ({"lr_psnr": LRPSNR()}, "lr_psn", r"no score lr_psn\. Did you mean lr_psnr\?"),
        ({}, "niqe", "There are: none"),
        ({"psnr": LRPSNR()}, "psnr", "another meaning"),
        ({"bicubic_x": Darkness()}, "bicubic_x", "another meaning"),
        ({"mine": LRPSNR()}, "mine", "is a higher or a lower value better"),
        ({"lpips": {"weight": 1}}, "lpips", "must have a _target_"),
        ({"dists": nn.Linear(1, 1)}, "dists", "asks for input; what it can have is sr, hr, lr"),
    ],
)
def test_bad_choices(parts: dict[str, Any], chosen: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scores(parts, test=[chosen])


def test_bad_options() -> None:
    with pytest.raises(UserError, match="perceptual=on is unknown"):
        Scores({}, perceptual="on")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cache_megabytes=-1"):
        Scores({}, cache_megabytes=-1)
    with pytest.raises(UserError, match="names no layer"):
        FeatureDistance([])
    with pytest.raises(UserError, match="would measure nothing"):
        FeatureDistance(weights="random")


def test_every_shipped_score_can_be_chosen_and_has_a_direction(tmp_path: Path) -> None:
    config = compose_config("train", ["scores=all", f"paths.run_folder={tmp_path}"])
    scores = instantiate(config.scores)
    assert set(scores.test) == set(config.scores.parts)
    assert set(config.scores.parts) < set(HIGHER_IS_BETTER)
    assert higher_is_better("val/Set5/psnr") is True
    assert higher_is_better("test/Set5/bicubic_lpips") is False
    assert higher_is_better("train/loss") is None
