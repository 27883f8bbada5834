"""Adam, AdamW and gradient descent under the project's names, against their papers' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from sr_experiments.app.compose import compose_config
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


def test_any_optimizer_of_torch_by_its_own_arguments() -> None:
    config = compose_config("train", ["optimizer=torch", "optimizer.type=RMSprop", "+optimizer.alpha=0.9"])
    optimizer = instantiate(config.optimizer)([nn.Parameter(torch.zeros(2))])
    assert type(optimizer) is torch.optim.RMSprop
    assert optimizer.param_groups[0]["alpha"] == 0.9
    assert type(make([nn.Parameter(torch.zeros(2))], "Adadelta", 0.1, fused=False)) is torch.optim.Adadelta


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "Adamm"}, r"optimizer\.type=Adamm is not an optimizer .* use ASGD, .*Adam, AdamW"),
        ({"type": "LBFGS"}, r"optimizer\.type=LBFGS is not an optimizer of torch\.optim that works here"),
        ({"type": "Adam", "momentum": 0.9}, "Adam takes no momentum: it takes betas, eps"),
        ({"type": "Adam", "betas": (2, 0.9)}, r"torch\.optim\.Adam cannot be made with .*Invalid beta parameter"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make([nn.Parameter(torch.zeros(2))], learning_rate=0.1, **options)
