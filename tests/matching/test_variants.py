"""Turned and scaled references."""

from __future__ import annotations

import pytest
import torch

from sr_experiments.degradations import Bicubic, imresize
from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching import Matching
from sr_experiments.matching.variants import turn, variants


def test_quarter_turns_move_pixels() -> None:
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for quarters in range(4):
        torch.testing.assert_close(
            turn(image, 90 * quarters), torch.rot90(image, quarters, (-2, -1)), atol=2e-5, rtol=0
        )


def test_turning_is_rigid_where_the_image_is_not_square() -> None:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(64.0), indexing="ij")

    def bump(row: float, column: float) -> torch.Tensor:
        return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18)[None, None]

    # A place 12 to the right of the middle comes to lie 12 above it at 90 degrees, at 30 degrees between.
    middle = 19.5, 31.5
    for degrees, (up, right) in {90: (12.0, 0.0), 30: (6.0, 12 * 0.75**0.5), -30: (-6.0, 12 * 0.75**0.5)}.items():
        turned = turn(bump(middle[0], middle[1] + 12), degrees)
        expected = bump(middle[0] - up, middle[1] + right)
        # Towards the short sides mirrored pixels turn in.
        torch.testing.assert_close(turned[..., 12:52], expected[..., 12:52], atol=0.02, rtol=0)


def test_all_combinations() -> None:
    image = torch.rand(1, 3, 16, 24)
    made = variants(image, [0, 90], [1, 0.5])
    assert [tuple(one.shape[-2:]) for one in made] == [(16, 24), (16, 24), (8, 12), (8, 12)]
    assert torch.equal(made[0], image)
    assert torch.equal(made[2], imresize(image, scale=0.5).clamp(0, 1))


def test_turned_textures_are_found() -> None:
    torch.manual_seed(0)
    hr = torch.rand(1, 3, 48, 48)
    network = FeatureNetwork(weights="random")
    degradation = Bicubic(4)
    lr = degradation(hr, None)
    reference = torch.rot90(hr, 1, (-2, -1))[0]
    upright = Matching(network, degradation, 4).find(lr, [hr[0]])
    blind = Matching(network, degradation, 4).find(lr, [reference])
    turning = Matching(network, degradation, 4, rotations=(0, -90)).find(lr, [reference])
    assert float(blind.similarity.mean()) < float(turning.similarity.mean())
    torch.testing.assert_close(turning.similarity, upright.similarity, atol=1e-3, rtol=0)
    for layer, maps in upright.maps().items():
        torch.testing.assert_close(turning.maps()[layer], maps, atol=1e-3 * float(maps.abs().max()), rtol=0)


@pytest.mark.parametrize("options", [{"rotations": ()}, {"scales": ()}, {"scales": (1.0, 0.0)}])
def test_senseless_variants_are_refused(options: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(UserError, match=r"matching\.rotations and matching\.scales"):
        Matching(FeatureNetwork(weights="random"), Bicubic(4), 4, **options)  # type: ignore[arg-type]
