from __future__ import annotations

import pytest
import torch

from sr_experiments.pixels.eightbit import round_to_8bit, to_pixels


def test_halves_go_up_and_values_outside_are_clipped() -> None:
    values = torch.tensor([-3.0, -0.5, 0.49, 0.5, 1.5, 2.5, 254.5, 255.4, 300.0], dtype=torch.float64)
    assert round_to_8bit(values).tolist() == [0, 0, 0, 1, 2, 3, 255, 255, 255]
    assert torch.equal(round_to_8bit(values.clone().requires_grad_()), round_to_8bit(values))


def test_gradient_passes_rounding_and_stops_at_clipping() -> None:
    values = torch.tensor([-3.0, 0.3, 100.5, 300.0], requires_grad=True)
    round_to_8bit(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_of_a_file_come_back(dtype: torch.dtype) -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    pixels = to_pixels((levels.to(dtype) / 255).requires_grad_())
    assert pixels.shape == (16, 16, 3)
    assert (torch.from_numpy(pixels).permute(2, 0, 1) == levels).all()
