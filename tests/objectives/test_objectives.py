"""Objectives against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.errors import UserError
from sr_experiments.objectives import Hinge, LeastSquares, RelativisticAverage, Vanilla, WassersteinGP
from sr_experiments.objectives.gradients import r1_penalty
from sr_experiments.shipped import conf_dir

REAL = torch.tensor([[2.0], [0.5]])
FAKE = torch.tensor([[-1.0], [0.25]])
OPTIONS = {
    "vanilla": Vanilla,
    "lsgan": LeastSquares,
    "hinge": Hinge,
    "wgan_gp": WassersteinGP,
    "ragan": RelativisticAverage,
}


def log_sigmoid(value: float) -> float:
    return -math.log(1 + math.exp(-value))


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


def test_vanilla() -> None:
    objective = Vanilla()
    on_real = -(log_sigmoid(2) + log_sigmoid(0.5)) / 2
    on_fake = -(log_sigmoid(1) + log_sigmoid(-0.25)) / 2
    assert objective.discriminator_loss(REAL, FAKE).item() == near(on_real + on_fake)
    assert objective.generator_loss(FAKE).item() == near(-(log_sigmoid(-1) + log_sigmoid(0.25)) / 2)


def test_label_smoothing_touches_real_labels_only() -> None:
    real = torch.zeros(3, 1)
    fake = torch.full((3, 1), 5.0)
    smooth, plain = Vanilla(label_smoothing=0.1), Vanilla()
    assert smooth.discriminator_loss(real + 2, fake).item() == near(
        -0.9 * log_sigmoid(2) - 0.1 * log_sigmoid(-2) - log_sigmoid(-5)
    )
    assert smooth.generator_loss(fake) == plain.generator_loss(fake)
    with pytest.raises(UserError, match=r"label_smoothing=0\.5"):
        Vanilla(label_smoothing=0.5)


def test_least_squares() -> None:
    objective = LeastSquares()
    expected = 0.5 * (1 + 0.25) / 2 + 0.5 * (1 + 0.0625) / 2
    assert objective.discriminator_loss(REAL, FAKE).item() == near(expected)
    assert objective.generator_loss(FAKE).item() == near(0.5 * (4 + 0.5625) / 2)
    assert [float(share) for share in objective.accuracies(REAL, FAKE)] == [0.5, 1.0]


def test_hinge() -> None:
    objective = Hinge()
    assert objective.discriminator_loss(REAL, FAKE).item() == near((0 + 0.5) / 2 + (0 + 1.25) / 2)
    assert objective.generator_loss(FAKE).item() == near(0.375)
    assert [float(share) for share in objective.accuracies(REAL, FAKE)] == [1.0, 0.5]


def test_wasserstein() -> None:
    objective = WassersteinGP()
    assert objective.discriminator_loss(REAL, FAKE).item() == near(-0.375 - 1.25)
    assert objective.generator_loss(FAKE).item() == near(0.375)
    assert [float(share) for share in objective.accuracies(REAL, FAKE)] == [1.0, 1.0]
    with pytest.raises(UserError, match="must not be negative"):
        WassersteinGP(penalty_weight=-1)


def test_relativistic_average_by_hand() -> None:
    objective = RelativisticAverage()
    real_mean, fake_mean = 1.25, -0.375
    on_real = -(log_sigmoid(2 - fake_mean) + log_sigmoid(0.5 - fake_mean)) / 2
    on_fake = -(log_sigmoid(real_mean + 1) + log_sigmoid(real_mean - 0.25)) / 2
    assert objective.discriminator_loss(REAL, FAKE).item() == near((on_real + on_fake) / 2)
    swapped_real = -(log_sigmoid(fake_mean - 2) + log_sigmoid(fake_mean - 0.5)) / 2
    swapped_fake = -(log_sigmoid(-1 - real_mean) + log_sigmoid(0.25 - real_mean)) / 2
    assert objective.generator_loss(FAKE, REAL).item() == near((swapped_real + swapped_fake) / 2)


def test_relativistic_average_at_equal_logits_is_log_2() -> None:
    logits = torch.full((4, 1, 3, 3), 1.7)
    objective = RelativisticAverage()
    assert objective.discriminator_loss(logits, logits).item() == near(math.log(2))
    assert objective.generator_loss(logits, logits).item() == near(math.log(2))


class Linear(nn.Module):
    def __init__(self, channels: int = 3, side: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(channels * side * side))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1) @ self.weight)[:, None]


def test_gradient_penalty_of_a_linear_critic() -> None:
    critic = Linear()
    real, fake = torch.rand(5, 3, 4, 4), torch.rand(5, 3, 4, 4)
    norm = critic.weight.norm()
    penalty = WassersteinGP(penalty_weight=10).penalty(critic, real, fake, torch.rand(5))
    assert penalty is not None
    assert penalty.item() == pytest.approx(10 * (norm.item() - 1) ** 2, rel=1e-5)
    penalty.backward()
    expected = 20 * (norm - 1) * critic.weight / norm
    assert torch.allclose(critic.weight.grad, expected, rtol=1e-4)  # type: ignore[arg-type]


def test_gradient_penalty_is_taken_between_the_two_images_of_a_sample() -> None:
    # D(x) = sum(x^2) / 2 has the gradient x, so the penalty shows where it was taken.
    def critic(images: torch.Tensor) -> torch.Tensor:
        return 0.5 * (images**2).flatten(1).sum(dim=1, keepdim=True)

    real, fake = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    penalty = WassersteinGP(penalty_weight=1).penalty(critic, real, fake, torch.tensor([0.25, 1.0]))  # type: ignore[arg-type]
    assert penalty is not None
    assert penalty.item() == near(((0.75 * math.sqrt(12) - 1) ** 2 + 1) / 2)


def test_r1_of_a_linear_critic() -> None:
    critic = Linear()
    assert r1_penalty(critic, torch.rand(5, 3, 4, 4)).item() == pytest.approx(
        0.5 * (critic.weight**2).sum().item(), rel=1e-5
    )


def test_the_slope_of_a_patch_critic_is_that_of_its_mean() -> None:
    patches = nn.Conv2d(3, 1, kernel_size=1)
    images = torch.rand(2, 3, 4, 4)
    expected = 0.5 * (patches.weight**2).sum() / 16
    assert r1_penalty(patches, images).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("option", sorted(file.stem for file in (conf_dir() / "objective").glob("*.yaml")))
def test_options_compose(option: str) -> None:
    config = compose_config("train", ["loss=srgan_mse", f"objective@loss.adversarial.objective={option}"])
    assert type(instantiate(config.loss.adversarial.objective)) is OPTIONS[option]
