"""LPIPS and DISTS against the packages that publish them, on the same backbone weights."""

from __future__ import annotations

from pathlib import Path

import lpips as package
import pytest
import torch
import torchmetrics.functional.image.dists as reference
import torchvision
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.losses import DISTS, L1, LPIPS, WeightedSum


def pair(height: int = 64, width: int = 72) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.rand(2, 3, height, width, generator=generator), torch.rand(2, 3, height, width, generator=generator)


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than:UserWarning")
@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_lpips_is_that_of_its_package(net: str, tmp_path: Path) -> None:
    theirs = package.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = {f"features.{name.split('.', 1)[1]}": value for name, value in theirs.net.state_dict().items()}
    torch.save(state, tmp_path / "backbone.pth")
    ours = LPIPS(net, tmp_path / "backbone.pth")
    sr, hr = pair()
    with torch.no_grad():
        torch.testing.assert_close(ours(sr, hr), theirs(sr, hr, normalize=True).mean())
    assert float(ours(hr, hr)) == 0


def test_lpips_has_a_finite_gradient_where_no_filter_fires(tmp_path: Path) -> None:
    network = torchvision.models.squeezenet1_1(weights=None)
    nn.init.constant_(network.features[0].bias, -1000.0)
    torch.save(network.state_dict(), tmp_path / "dead.pth")
    sr, hr = pair()
    sr.requires_grad_()
    LPIPS("squeeze", tmp_path / "dead.pth")(sr, hr).backward()
    assert sr.grad is not None
    assert bool(torch.isfinite(sr.grad).all())


def test_dists_is_that_of_torchmetrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    vgg16 = torchvision.models.vgg16(weights=None)
    torch.save(vgg16.features.state_dict(), tmp_path / "vgg16.pth")
    # torchmetrics would download its backbone: it is handed the same random one.
    monkeypatch.setattr(reference, "vgg16", lambda weights: vgg16)
    sr, hr = pair()
    ours = DISTS(tmp_path / "vgg16.pth")
    with torch.no_grad():
        expected = reference.deep_image_structure_and_texture_similarity(sr, hr, "mean")
        torch.testing.assert_close(ours(sr, hr), expected, rtol=1e-4, atol=1e-5)
    assert float(ours(hr, hr)) == pytest.approx(0, abs=1e-5)
    sr.requires_grad_()
    ours(sr, hr).backward()
    assert sr.grad is not None
    assert bool(torch.isfinite(sr.grad).all())
    assert ours.state_dict() == {}
    assert list(ours.parameters()) == []


@pytest.mark.parametrize("term", [LPIPS, DISTS])
def test_weights_are_never_random_and_missed_only_when_needed(term: type[nn.Module], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would measure nothing"):
        term(weights="random")
    absent = term(weights=tmp_path / "absent.pth")
    WeightedSum({"l1": {"weight": 1, "term": L1()}, "metric": {"weight": 0, "term": absent}})
    with pytest.raises(UserError, match=r"loss\.terms\.NAME\.term\.weights=.*absent"):
        WeightedSum({"metric": {"weight": 1, "term": absent}})


def test_bad_options(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="net=resnet of LPIPS is unknown"):
        LPIPS("resnet")
    torch.save(torchvision.models.vgg16(weights=None).features.state_dict(), tmp_path / "vgg16.pth")
    torch.save({"alpha": torch.ones(3)}, tmp_path / "alpha.pt")
    with pytest.raises(UserError, match="alpha and beta with 1475 values"):
        DISTS(tmp_path / "vgg16.pth", tmp_path / "alpha.pt").load()
