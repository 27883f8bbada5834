"""The layer that makes the image may learn at a rate of its own, as SRCNN's and FSRCNN's do."""

from __future__ import annotations

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import MSE, WeightedSum
from sr_experiments.models.fsrcnn import FSRCNN
from sr_experiments.models.small import SmallResNet
from sr_experiments.models.srcnn import SRCNN
from sr_experiments.training.module import Training
from sr_experiments.training.optimizers import make
from sr_experiments.training.schedules import step
from sr_experiments.upsamplers import Interpolation, SubPixel, Transposed
from tests.training.parts import supervised

RATE = 1e-3


def fsrcnn() -> FSRCNN:
    return FSRCNN(2, partial(Transposed, kernel=9, single_step=True), features=6, shrunk=3, layers=1)


def srcnn() -> SRCNN:
    return SRCNN(2, Interpolation, features=(4, 4))


def module_of(network: nn.Module, factor: float) -> Training:
    loss = WeightedSum({"mse": {"weight": 1.0, "term": MSE()}})
    optimizer = partial(make, type="Adam", learning_rate=RATE, eps=1e-16)
    schedule = partial(step, every=1, gamma=0.5)
    return supervised(network, Bicubic(2), loss, optimizer=optimizer, scheduler=schedule, last_layer_rate=factor)


def fit(module: Training, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    batch: dict[str, Tensor] = {"hr": torch.randint(0, 256, (2, 3, 16, 16), generator=generator, dtype=torch.uint8)}
    trainer = pl.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(module, DataLoader([batch] * steps, batch_size=None))


@pytest.mark.parametrize("make", [fsrcnn, srcnn])
@pytest.mark.parametrize("factor", [0.1, 1.0])
def test_the_first_steps_are_as_long_as_the_rates(make: type[nn.Module], factor: float) -> None:
    """Adam's first step moves every weight by the learning rate itself."""
    torch.manual_seed(0)
    network = make()
    last = {name for name, p in network.named_parameters() if any(p is q for q in network.last_layer.parameters())}
    assert 0 < len(last) < len(list(network.parameters()))
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    fit(module_of(network, factor), steps=1)
    for name, parameter in network.named_parameters():
        expected = RATE * (factor if name in last else 1)
        moved = (parameter.detach() - before[name]).abs().max().item()
        assert moved == pytest.approx(expected, rel=1e-3), name


def test_the_schedule_is_followed_by_both_rates() -> None:
    module = module_of(fsrcnn(), 0.1)
    fit(module, steps=3)
    rates = [group["lr"] for group in module.trainer.optimizers[0].param_groups]
    assert rates == pytest.approx([RATE / 8, RATE / 80])


def test_other_networks_and_useless_factors_are_refused() -> None:
    with pytest.raises(UserError, match="SmallResNet learns at one rate"):
        module_of(SmallResNet(2, SubPixel, features=4, blocks=1), 0.1)
    with pytest.raises(UserError, match="must be above 0"):
        module_of(fsrcnn(), 0.0)
    module_of(SmallResNet(2, SubPixel, features=4, blocks=1), 1.0)


def test_fsrcnn_begins_as_its_paper_says() -> None:
    """Section 3.2: He et al.'s variance for PReLU, and a deviation of 0.001 where the image is made."""
    torch.manual_seed(0)
    network = FSRCNN(3, partial(Transposed, kernel=9, single_step=True), features=256, shrunk=64)
    for layer in (layer for layer in network.body if isinstance(layer, nn.Conv2d)):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / (1 + 0.25**2) / fan_in) ** 0.5, rel=0.1)
    *_, deconvolution = network.upsample.modules()
    assert isinstance(deconvolution, nn.ConvTranspose2d)
    assert deconvolution.weight.std().item() == pytest.approx(0.001, rel=0.05)


def test_other_upsamplers_keep_their_own_beginning() -> None:
    network = FSRCNN(2, partial(SubPixel, icnr=True), features=8, shrunk=4)
    weight = next(p for p in network.upsample.parameters() if p.ndim == 4)
    groups = weight.unflatten(0, (-1, 4))
    assert torch.equal(groups[:, 0], groups[:, 1])  # ICNR: the four pixels begin alike
