"""Files in the layouts of the public toolboxes: our networks make of them the image that the toolbox would."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.carn import CARN
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.lapsrn import LapSRN
from sr_experiments.models.msrresnet import MSRResNet
from sr_experiments.models.rcan import RCAN
from sr_experiments.models.rdn import RDN
from sr_experiments.models.rrdb import RRDBNet
from sr_experiments.models.vdsr import VDSR
from sr_experiments.models.weights import load_weights, network_state, read_checkpoint
from sr_experiments.upsamplers import Interpolation, ResizeConv, SubPixel, Transposed
from tests.models import published
from tests.models.published import WIDTH

Make = Callable[[], nn.Module]


def edsr(scale: int = 4, factor: float = 0.1) -> EDSR:
    return EDSR(scale, SubPixel, features=WIDTH, blocks=2, residual_scale=factor)


def rcan(scale: int = 4) -> RCAN:
    return RCAN(scale, SubPixel, features=WIDTH, groups=2, blocks=3, reduction=2)


def rdn(scale: int = 4) -> RDN:
    return RDN(scale, SubPixel, features=WIDTH, blocks=2, layers=3, growth=WIDTH)


def rrdb(scale: int = 4) -> RRDBNet:
    return RRDBNet(scale, ResizeConv, features=WIDTH, blocks=2, growth=3)


def msrresnet(scale: int = 4) -> MSRResNet:
    return MSRResNet(scale, SubPixel, features=WIDTH, blocks=2)


def carn(scale: int = 4, scales: tuple[int, ...] = (2, 3, 4)) -> CARN:
    return CARN(scale, SubPixel, features=WIDTH, scales=scales)


def carn_m() -> CARN:
    return CARN(4, partial(SubPixel, groups=2), features=WIDTH, groups=2, shared=True)


def vdsr() -> VDSR:
    return VDSR(3, Interpolation, channels=1, features=WIDTH, layers=5)


def lapsrn() -> LapSRN:
    return LapSRN(4, Transposed, channels=1, features=WIDTH, depth=3)


class Case(NamedTuple):
    """A network of ours, a public one, and what it is called in messages."""

    ours: Make
    theirs: Make
    publisher: str


CASES = {
    **{
        f"edsr_pytorch_x{s}": Case(partial(edsr, s), partial(published.EDSRPyTorch, s), "EDSR-PyTorch")
        for s in (2, 3, 4)
    },
    "edsr_pytorch_plain": Case(
        partial(edsr, 4, 1.0), partial(published.EDSRPyTorch, 4, factor=1, image_range=1), "EDSR-PyTorch"
    ),
    **{f"edsr_basicsr_x{s}": Case(partial(edsr, s), partial(published.BasicSREDSR, s), "BasicSR") for s in (2, 3, 4)},
    "rcan": Case(rcan, partial(published.RCANPyTorch, 4), "EDSR-PyTorch"),
    "rcan_x3": Case(partial(rcan, 3), partial(published.RCANPyTorch, 3), "EDSR-PyTorch"),
    "rcan_basicsr": Case(rcan, partial(published.BasicSRRCAN, 4), "BasicSR"),
    **{f"rdn_x{s}": Case(partial(rdn, s), partial(published.RDN, s, False), "EDSR-PyTorch") for s in (2, 3, 4)},
    **{f"rdn_port_x{s}": Case(partial(rdn, s), partial(published.RDN, s, True), "RDN-pytorch") for s in (3, 4)},
    "rrdb_basicsr": Case(rrdb, partial(published.ESRGAN, True), "BasicSR"),
    "rrdb_esrgan": Case(rrdb, partial(published.ESRGAN, False), "ESRGAN"),
    "rrdb_first": Case(rrdb, partial(published.FirstESRGAN, [2, 2]), "ESRGAN's first release"),
    "rrdb_first_x3": Case(partial(rrdb, 3), partial(published.FirstESRGAN, [3]), "ESRGAN's first release"),
    **{
        f"msrresnet_x{s}": Case(partial(msrresnet, s), partial(published.MSRResNet, s, False), "BasicSR")
        for s in (3, 4)
    },
    "msrresnet_early": Case(msrresnet, partial(published.MSRResNet, 4, True), "BasicSR of 2019"),
    "carn": Case(carn, partial(published.CARN, False, None), "CARN-pytorch"),
    "carn_x3": Case(partial(carn, 3, (3,)), partial(published.CARN, False, 3), "CARN-pytorch"),
    "carn_m": Case(carn_m, partial(published.CARN, True, None), "CARN-pytorch"),
    "vdsr": Case(vdsr, published.VDSR, "pytorch-vdsr"),
    "vdsr_first": Case(vdsr, published.FirstVDSR, "pytorch-vdsr"),
    "lapsrn": Case(lapsrn, published.LapSRN, "pytorch-LapSRN"),
}

each_layout = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def published_network(case: Case) -> nn.Module:
    """The public network with biases as large as they are among features of images in [0, 255]."""
    torch.manual_seed(0)
    network = case.theirs().eval()
    image_range = getattr(network, "image_range", 255 if case.publisher == "BasicSR" else 1)
    for name, parameter in network.named_parameters():
        if "_mean" not in name:
            nn.init.normal_(parameter, std=0.25 if parameter.ndim == 4 else 0.1 * image_range)
    return network


def lr_image(network: nn.Module) -> torch.Tensor:
    channels = 1 if isinstance(network, VDSR | LapSRN) else 3
    return torch.rand(2, channels, 9, 7, generator=torch.Generator().manual_seed(1))


@each_layout
@torch.no_grad()
def test_published_file_makes_the_published_image(case: Case, tmp_path: Path) -> None:
    theirs, ours, file = published_network(case), case.ours().eval(), tmp_path / "published.pth"
    torch.save(theirs.state_dict(), file)
    load_weights(ours, network_state(read_checkpoint(file)), file)
    image = lr_image(ours)
    seen = bicubic_upsample(image, scale=3) if isinstance(ours, VDSR) else image
    expected, found = theirs(seen), ours(image)
    assert found.shape == expected.shape
    assert expected.std() > 0.01
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


@torch.no_grad()
def test_network_of_several_scales_makes_each(tmp_path: Path) -> None:
    theirs, ours = published_network(CASES["carn"]), carn().eval()
    load_weights(ours, theirs.state_dict(), "carn.pth")
    image = lr_image(ours)
    for scale in (2, 3, 4):
        assert torch.allclose(ours(image, scale), theirs(image, scale), atol=1e-5)


@each_layout
def test_partial_file_is_refused_and_changes_nothing(case: Case) -> None:
    ours, state = case.ours(), published_network(case).state_dict()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    *_, last = (name for name in state if name.endswith("weight") and "_mean" not in name)
    del state[last]
    state["classifier.weight"] = torch.zeros(1)
    with pytest.raises(UserError) as error:
        load_weights(ours, state, "some.pth")
    message = str(error.value)
    assert message.startswith(f"some.pth does not fit {type(ours).__name__}: missing ")
    assert "left over classifier.weight" in message
    told = re.search(r"Read in the layout of (.+), (\d+) of its (\d+) weights fit", message)
    assert told is not None
    assert told[1] == case.publisher
    assert int(told[2]) == int(told[3]) - 1  # all but the classifier's
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_wider_file_is_refused_with_shapes() -> None:
    state = published.EDSRPyTorch(4).state_dict()
    network = EDSR(4, SubPixel, features=2 * WIDTH, blocks=2)
    with pytest.raises(UserError, match=r"head\.weight is \(4, 3, 3, 3\) instead of \(8, 3, 3, 3\).*PyTorch, 1 of"):
        load_weights(network, state, "edsr.pth")


def test_file_of_another_scale_is_refused() -> None:
    with pytest.raises(UserError, match=r"missing upsample\.layers\.2\.weight.*the scale, the upsampler"):
        load_weights(edsr(4), published.EDSRPyTorch(2).state_dict(), "edsr.pth")


def test_colour_file_is_refused_by_a_network_of_luma() -> None:
    network = LapSRN(4, Transposed, channels=3, features=WIDTH, depth=3)
    with pytest.raises(UserError, match=r"head\.weight is \(4, 1, 3, 3\) instead of \(4, 3, 3, 3\)"):
        load_weights(network, published.LapSRN().state_dict(), "lapsrn.pth")


@pytest.mark.parametrize("spoil", ["mean", "weight", "sign"])
def test_another_mean_colour_is_refused(spoil: str) -> None:
    theirs = published.RCANPyTorch(4)
    if spoil == "mean":  # the mean of DIV2K and Flickr2K
        theirs.sub_mean = published.shift(255, -1, (0.4690, 0.4490, 0.4036))
    elif spoil == "weight":
        theirs.sub_mean.weight.data *= 2
    else:
        theirs.add_mean.bias.data *= -1
    with pytest.raises(UserError, match=r"shift colours by (sub|add)_mean.*RCAN by the mean \[0\.4488, 0\.4371, "):
        load_weights(rcan(), theirs.state_dict(), "rcan.pth")


@torch.no_grad()
def test_file_without_its_mean_colour_is_taken_for_images_up_to_255() -> None:
    theirs, ours = published_network(CASES["edsr_pytorch_x2"]), edsr(2).eval()
    state = {name: value for name, value in theirs.state_dict().items() if "_mean" not in name}
    load_weights(ours, state, "edsr.pth")
    image = lr_image(ours)
    assert torch.allclose(ours(image), theirs(image), atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", [None, "params_ema", "params", "state_dict", "model_state_dict", "model", "net"])
def test_wrapped_file_is_unwrapped(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = {f"{prefix}{name}": value for name, value in published.FirstESRGAN([2, 2]).state_dict().items()}
    content = state if wrapper is None else {wrapper: state, "epoch": 3, "optimizer": {"lr": torch.ones(1)}}
    torch.save(content, tmp_path / "some.pth")
    read = network_state(read_checkpoint(tmp_path / "some.pth"))
    assert set(read) == {name.removeprefix(prefix) for name in state}
    load_weights(rrdb(), read, "some.pth")


def test_own_names_are_not_rescaled() -> None:
    """A checkpoint of ours shares names with EDSR-PyTorch's layout, but its images lie in [0, 1]."""
    source, target = edsr(), edsr()
    load_weights(target, source.state_dict(), "last.ckpt")
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())
    state = source.state_dict()
    del state["tail.bias"]
    with pytest.raises(UserError, match=r"does not fit EDSR: missing tail\.bias\.$"):
        load_weights(target, state, "last.ckpt")


# what is not opened


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_network_is_refused_with_what_to_do(tmp_path: Path, legacy: bool) -> None:
    content = {"epoch": 50, "model": nn.DataParallel(published.VDSR())}
    torch.save(content, tmp_path / "model_epoch_50.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=r"pickled Python objects.*torch\.save\(network\.state_dict\(\), FILE\)"):
        read_checkpoint(tmp_path / "model_epoch_50.pth")


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.jit.script(nn.Sequential(nn.Conv2d(3, 3, 1))).save(str(tmp_path / "network.pt"))
    with pytest.raises(UserError, match=r"TorchScript program.*torch\.jit\.load"):
        read_checkpoint(tmp_path / "network.pt")
