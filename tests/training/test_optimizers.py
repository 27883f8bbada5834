"""Adam, AdamW and gradient descent against their papers' formulas, and every other optimizer of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config
from sr_experiments.errors import UserError
from sr_experiments.training.optimizers import make

SETTINGS: dict[str, Any] = {"learning_rate": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}


def by_hand(gradients: list[np.ndarray], start: np.ndarray, *, decoupled: bool, **settings: Any) -> np.ndarray:
    """Adam (Kingma and Ba, algorithm 1); `decoupled` decay as AdamW has it (Loshchilov and Hutter, algorithm 2)."""
    rate, (beta1, beta2) = settings["learning_rate"], settings["betas"]
    theta, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient
        if decoupled:
            theta = theta - rate * settings["weight_decay"] * theta
        else:
            g = g + settings["weight_decay"] * theta
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        theta = theta - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + settings["eps"])
    return theta


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("kind", "decoupled"), [("Adam", False), ("AdamW", True)])
def test_equals_the_formulas_of_the_paper(kind: str, decoupled: bool, fused: bool) -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=6), [random.normal(size=6) for _ in range(7)]
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = make([parameter], kind, fused=fused, **SETTINGS)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    expected = by_hand(gradients, start, decoupled=decoupled, **SETTINGS)
    assert parameter.detach().numpy() == pytest.approx(expected, rel=1e-9)
    assert by_hand(gradients, start, decoupled=not decoupled, **SETTINGS) != pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "kind", "decay"), [("adam", torch.optim.Adam, 0.0), ("adamw", torch.optim.AdamW, 1e-2)]
)
def test_shipped_optimizers(name: str, kind: type, decay: float) -> None:
    config = compose_config("train", [f"optimizer={name}", "optimizer.learning_rate=3e-4", "optimizer.betas=[0.5,0.9]"])
    optimizer = instantiate(config.optimizer)([nn.Parameter(torch.zeros(2))])
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert group["lr"] == 3e-4
    assert group["betas"] == (0.5, 0.9)
    assert type(group["betas"]) is tuple  # a list of OmegaConf would make a checkpoint that cannot be loaded safely
    assert group["eps"] == 1e-8
    assert group["weight_decay"] == decay
    assert group["fused"]


def test_fused_can_be_switched_off() -> None:
    config = compose_config("train", ["optimizer=adam"])
    assert not instantiate(config.optimizer)([nn.Parameter(torch.zeros(2))], fused=False).param_groups[0]["fused"]


@pytest.mark.parametrize("nesterov", [False, True])
def test_gradient_descent_with_momentum_by_hand(nesterov: bool) -> None:
    random = np.random.default_rng(0)
    theta, gradients, velocity = random.normal(size=6), [random.normal(size=6) for _ in range(5)], np.zeros(6)
    parameter = nn.Parameter(torch.from_numpy(theta.copy()))
    settings = compose_config("train", ["optimizer=sgd", "optimizer.learning_rate=0.1", "optimizer.momentum=0.8"])
    settings.optimizer.nesterov, settings.optimizer.weight_decay = nesterov, 0.2
    optimizer = instantiate(settings.optimizer)([parameter])
    assert type(optimizer) is torch.optim.SGD
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        decayed = gradient + 0.2 * theta  # the slope of 0.1 * |theta|^2
        velocity = 0.8 * velocity + decayed
        theta = theta - 0.1 * (decayed + 0.8 * velocity if nesterov else velocity)
    assert parameter.detach().numpy() == pytest.approx(theta, rel=1e-9)


SUITED = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam")
)


@pytest.mark.parametrize("name", SUITED)
def test_every_optimizer_of_torch_updates_as_torch_has_it(name: str) -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 6).reshape(2, 3)) for _ in range(2))
    pairs = ((ours, make([ours], name, 0.05)), (theirs, getattr(torch.optim, name)([theirs], lr=0.05)))
    for parameter, optimizer in pairs:
        for step in range(3):
            parameter.grad = torch.full((2, 3), 0.1 * (step + 1))
            optimizer.step()
    assert torch.allclose(ours, theirs, rtol=1e-5)
    assert not torch.equal(ours, torch.linspace(-1, 1, 6).reshape(2, 3))


def test_arguments_go_on_under_the_names_of_torch() -> None:
    given = [
        "optimizer=sgd",
        "optimizer.learning_rate=0.01",
        "optimizer.type=RMSprop",
        "~optimizer.nesterov",
        "+optimizer.alpha=0.9",
    ]
    config = compose_config("train", [*given, "trainer.precision=32-true", "paths.run_folder=x"])
    check_config(config)
    (group,) = instantiate(config.optimizer)([nn.Parameter(torch.zeros(2))]).param_groups
    assert (group["alpha"], group["momentum"], group["lr"]) == (0.9, 0.9, 0.01)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+optimizer.momentum=0.9"], r"no key optimizer\.momentum.* It takes amsgrad, betas, .*weight_decay\."),
        (["optimizer.type=Adan"], r"no optimizer Adan to train with\. There are ASGD, .*, Adam, .*SGD\."),
        (["optimizer.type=LBFGS"], "no optimizer LBFGS"),
        (["+optimizer.amsgrad=perhaps"], "optimizer.amsgrad=perhaps is of the wrong kind: it must be true or false"),
    ],
)
def test_wrong_arguments_are_refused_before_a_run(overrides: list[str], message: str) -> None:
    config = compose_config("train", [*overrides, "trainer.precision=32-true", "paths.run_folder=x"])
    with pytest.raises(UserError, match=message):
        check_config(config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 0.9}, "Adam takes no beta. It takes amsgrad, betas, "),
        ({"betas": [0.9, 2.0]}, r"Adam cannot be made of its arguments: Invalid beta parameter at index 1: 2\.0"),
    ],
)
def test_wrong_arguments_of_a_call_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make([nn.Parameter(torch.zeros(2))], "Adam", 1e-3, **arguments)
