"""DRCN, DRRN, MemNet and DSRN: recursion restated, shared weights, images on the way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.drcn import DRCN
from sr_experiments.models.drrn import DRRN
from sr_experiments.models.dsrn import DSRN
from sr_experiments.models.memnet import MemNet
from sr_experiments.models.vdsr import VDSR
from sr_experiments.upsamplers import Interpolation, Transposed


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def applications(network: nn.Module, lr: Tensor) -> dict[str, int]:
    """How often each convolution is applied to an image."""
    counts: dict[str, int] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            counts[name] = 0

            def count(*_: object, name: str = name) -> None:
                counts[name] += 1

            module.register_forward_hook(count)
    network(lr)
    return counts


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_vdsr_adds_to_the_enlarged_image() -> None:
    network = VDSR(3, Interpolation, features=4, layers=3)
    nn.init.zeros_(network.body[-1].weight)
    lr = torch.rand(1, 3, 5, 6)
    assert torch.equal(network(lr), bicubic_upsample(lr, scale=3))
    with pytest.raises(UserError, match=r"model\.layers=1 is too few"):
        VDSR(3, Interpolation, layers=1)


def test_vdsr_sees_41_pixels() -> None:
    network = VDSR(2, Interpolation, channels=1, features=2).double()
    enlarged = torch.rand(1, 1, 51, 51, dtype=torch.float64, requires_grad=True)
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    network.body(enlarged)[0, 0, 25, 25].backward()
    assert enlarged.grad is not None
    rows = enlarged.grad[0, 0].abs().sum(1).nonzero()[:, 0]
    assert (rows.min(), rows.max()) == (25 - 20, 25 + 20)


# DRCN


def test_drcn_applies_one_convolution_again_and_again() -> None:
    network = DRCN(2, Interpolation, features=4, recursions=5)
    counts = applications(network, torch.rand(1, 3, 4, 4))
    assert counts == {"embed.0": 1, "embed.2": 1, "recursion.0": 5, "reconstruct.0": 5, "reconstruct.2": 5}
    assert parameters(network) - parameters(DRCN(2, Interpolation, features=4, recursions=2)) == 3  # of the average


def test_drcn_restated() -> None:
    network, lr = DRCN(2, Interpolation, features=4, recursions=3), torch.rand(2, 3, 4, 5)
    nn.init.normal_(network.recursion[0].weight, std=0.2)
    nn.init.normal_(network.average)

    def apply(x: Tensor, layer: nn.Conv2d) -> Tensor:
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    enlarged = bicubic_upsample(lr, scale=2)
    state = F.relu(apply(F.relu(apply(enlarged, network.embed[0])), network.embed[2]))
    expected = []
    for _ in range(3):
        state = F.relu(apply(state, network.recursion[0]))
        hidden = F.relu(apply(state, network.reconstruct[0]))
        expected.append(enlarged + apply(hidden, network.reconstruct[2]))
    expected.append(sum(w * image for w, image in zip(network.average, expected, strict=True)))
    found = network.outputs(lr)
    assert len(found) == 4
    for image, reference in zip(found, expected, strict=True):
        assert torch.allclose(image, reference, atol=1e-5)
    assert torch.equal(network(lr), found[-1])


def test_drcn_starts_with_recursions_that_hand_on() -> None:
    images = DRCN(2, Interpolation, features=4, recursions=4).outputs(torch.rand(1, 3, 4, 4))
    for image in images:
        assert torch.allclose(image, images[0], atol=1e-6)


# DRRN


def test_drrn_has_52_layers_of_four_convolutions() -> None:
    counts = applications(DRRN(2, Interpolation, features=4), torch.rand(2, 3, 4, 4))
    assert sum(counts.values()) == 52
    assert sorted(counts.values()) == [1, 1, 25, 25]


def test_drrn_adds_each_unit_to_what_the_block_began_with() -> None:
    network = DRRN(2, Interpolation, features=4, blocks=2, units=3).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.normal_(module.bias)
    lr = torch.rand(1, 3, 4, 5)

    def step(x: Tensor, norm: nn.Module, layer: nn.Module) -> Tensor:
        return layer(F.relu(norm(x)))

    enlarged = x = bicubic_upsample(lr, scale=2)
    for block in network.body:
        begun = x = step(x, block.begin[0], block.begin[2])
        for first, second in block.unit.norms:
            x = begun + step(step(x, first, block.unit.convs[0]), second, block.unit.convs[1])
    expected = enlarged + step(x, network.tail[0], network.tail[2])
    assert torch.allclose(network(lr), expected, atol=1e-6)


# MemNet


def test_memnet_has_80_layers() -> None:
    counts = applications(MemNet(2, Interpolation, features=4), torch.rand(2, 3, 4, 4))
    assert counts.pop("tail") == 6  # one layer, applied once for each of six images
    assert sum(counts.values()) + 1 == 80
    assert sum(count == 6 for count in counts.values()) == 12


def test_memnet_gates_see_the_results_of_all_blocks_before() -> None:
    network, lr = MemNet(2, Interpolation, features=4, blocks=3, recursions=2).eval(), torch.rand(1, 3, 4, 4)
    enlarged = bicubic_upsample(lr, scale=2)
    memory, expected = [network.head(enlarged)], []
    for block, before_tail in zip(network.blocks, network.before_tail, strict=True):
        one = memory[-1] + block.unit(memory[-1], 0)
        two = one + block.unit(one, 1)
        memory.append(block.gate(torch.cat([*memory, one, two], dim=1)))
        expected.append(enlarged + network.tail(before_tail(memory[-1])))
    found = network.outputs(lr)
    for image, reference in zip(found[:-1], expected, strict=True):
        assert torch.allclose(image, reference, atol=1e-6)
    assert torch.allclose(found[-1], torch.stack(expected).mean(0), atol=1e-6)  # the weights start alike
    assert torch.equal(network(lr), found[-1])
    assert [block.gate[2].in_channels for block in network.blocks] == [12, 16, 20]


# DSRN


def test_dsrn_restated() -> None:
    network, lr = DSRN(2, Transposed, features=4, steps=4), torch.rand(2, 3, 4, 5)
    small, large, images = network.head(lr), None, []
    for _ in range(3):
        pooled = 0 if large is None else large.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
        kept = 0 if large is None else large + network.large_link(large)
        small, large = (
            F.relu(small + network.small_link(small) + pooled),
            F.relu(network.upsample(small) + kept),
        )
        images.append(network.tail(large))
    images.append(sum(images) / 3)
    found = network.outputs(lr)
    for image, reference in zip(found, images, strict=True):
        assert torch.allclose(image, reference, atol=1e-6)
    assert torch.allclose(network(lr), found[-1], atol=1e-6)


def test_dsrn_needs_as_many_steps_as_use_all_links() -> None:
    with pytest.raises(UserError, match=r"model\.steps=2 is too few"):
        DSRN(2, Transposed, steps=2)
