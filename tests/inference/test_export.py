"""Networks as programs of torch.export, for images of any size."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.export import Dim, export

from sr_experiments.app.compose import compose_config
from sr_experiments.degradations import GaussianSubsample
from sr_experiments.pixels.imresize import bicubic_upsample, imresize

THIN = {
    "small": ["model.features=8", "model.blocks=2"],
    "enhancenet": ["model.features=8", "model.blocks=2"],
    "vdsr": ["model.features=8", "model.layers=3"],
    "srcnn": [],
}
FREE = ({2: Dim("height", min=4, max=512), 3: Dim("width", min=4, max=512)},)


def made(name: str, *overrides: str) -> nn.Module:
    torch.manual_seed(0)
    return instantiate(compose_config("train", [f"model={name}", *THIN[name], *overrides]).model).eval()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", THIN)
def test_a_program_does_what_its_network_does_at_any_size(name: str, scale: int, strict: bool) -> None:
    network = made(name, f"scale={scale}")
    program = export(network, (torch.rand(1, 3, 12, 20),), dynamic_shapes=FREE, strict=strict).module()
    for size in ((12, 20), (31, 9), (64, 100)):
        lr = torch.rand(1, 3, *size)
        with torch.no_grad():
            expected, got = network(lr), program(lr)
        assert got.shape == (1, 3, size[0] * scale, size[1] * scale)
        assert torch.allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("kernel", ["cubic", "linear", "lanczos3", "box"])
@pytest.mark.parametrize("scale", [1, 2, 5])
def test_interpolation_of_any_size_is_that_of_each_size(kernel: str, scale: int) -> None:
    class Enlarge(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return imresize(x, scale=scale, kernel=kernel)

    image = torch.rand(1, 3, 12, 20, dtype=torch.float64)
    program = export(Enlarge(), (image,), dynamic_shapes=FREE).module()
    for size in ((12, 20), (4, 5), (40, 7)):
        image = torch.rand(1, 3, *size, dtype=torch.float64)
        assert torch.allclose(program(image), imresize(image, scale=scale, kernel=kernel), rtol=0, atol=1e-14)


def test_what_no_program_of_any_size_can_do_is_said() -> None:
    class Shrink(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return imresize(x, scale=0.5)

    with pytest.raises(Exception, match="of images of any size imresize enlarges by whole"):
        export(Shrink(), (torch.rand(1, 3, 12, 20),), dynamic_shapes=FREE)


class Failing(nn.Module):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        large = bicubic_upsample(lr, scale=2)
        return large if large.mean() > 0.5 else -large  # no trace can know


@pytest.mark.parametrize("shapes", [None, FREE])
def test_a_failed_trace_leaves_nothing_behind(shapes: object) -> None:
    lr = torch.rand(1, 3, 13, 21)
    with pytest.raises(Exception, match="data-dependent"):
        export(Failing(), (lr,), dynamic_shapes=shapes)
    enlarged = bicubic_upsample(lr, scale=2)
    assert type(enlarged) is torch.Tensor
    assert enlarged.shape == (1, 3, 26, 42)
    assert torch.equal(Failing()(lr).abs(), enlarged.abs())


def test_shapes_alone_leave_nothing_behind() -> None:
    def results(image: torch.Tensor) -> list[torch.Tensor]:
        return [bicubic_upsample(image, scale=3), GaussianSubsample(3)(image, None)]

    with FakeTensorMode():
        assert results(torch.empty(1, 3, 27, 36))[0].shape == (1, 3, 81, 108)
    for real in results(torch.rand(1, 3, 27, 36)):
        assert type(real) is torch.Tensor
        assert real.isfinite().all()
