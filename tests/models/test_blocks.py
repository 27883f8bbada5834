"""Shared blocks against direct restatements."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import (
    Cascade,
    ChannelAttention,
    DenseLayers,
    FeatureTransform,
    MultiScaleBlock,
    RegionNonLocal,
    ResidualBlock,
    ResidualDenseBlock,
    SecondOrderAttention,
    SharedUnit,
    conv,
)
from sr_experiments.models.blocks.attention import covariance, matrix_root


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def same(x: Tensor, layer: nn.Module) -> Tensor:
    """A convolution of stride 1 that keeps the size, said with functions only."""
    assert isinstance(layer, nn.Conv2d)
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


# attention


def test_channel_attention_weighs_channels_by_their_means() -> None:
    attention, x = ChannelAttention(4, reduction=2), torch.rand(2, 4, 3, 5)
    narrow, wide = attention.weigh[0], attention.weigh[2]
    for image, result in zip(x, attention(x), strict=True):
        means = torch.stack([channel.sum() / 15 for channel in image])
        hidden = (narrow.weight[:, :, 0, 0] @ means + narrow.bias).clamp(min=0)
        weights = 1 / (1 + torch.exp(-(wide.weight[:, :, 0, 0] @ hidden + wide.bias)))
        assert torch.allclose(result, image * weights[:, None, None], atol=1e-6)


@pytest.mark.parametrize("reduction", [0, 5])
@pytest.mark.parametrize("kind", [ChannelAttention, SecondOrderAttention])
def test_a_reduction_that_leaves_no_channel_is_refused(kind: type[nn.Module], reduction: int) -> None:
    with pytest.raises(
        UserError, match=f"reduction={reduction} of the attention must lie between 1 and the 4 features"
    ):
        kind(4, reduction)


def test_covariance_is_that_of_the_channels() -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    expected = torch.stack([torch.cov(image.flatten(1), correction=0) for image in x])
    assert torch.allclose(covariance(x), expected)


def test_matrix_root_squared_is_the_matrix() -> None:
    factor = torch.rand(2, 5, 5, dtype=torch.float64)
    matrix = factor @ factor.transpose(1, 2) + torch.eye(5, dtype=torch.float64)
    root = matrix_root(matrix, iterations=20)
    assert torch.allclose(root @ root, matrix)


def test_second_order_attention_by_eigenvectors() -> None:
    attention = SecondOrderAttention(4, reduction=2, iterations=30)
    x = torch.rand(2, 4, 6, 5)
    values, vectors = torch.linalg.eigh(covariance(x))
    root = vectors @ torch.diag_embed(values.clamp(min=0).sqrt()) @ vectors.transpose(1, 2)
    weights = attention.weigh(root.mean(1)[:, :, None, None])
    assert torch.allclose(attention(x), x * weights, atol=1e-4)


def test_second_order_attention_bears_an_image_without_variance() -> None:
    x = torch.full((1, 4, 3, 3), 0.5, requires_grad=True)
    attention = SecondOrderAttention(4, reduction=2)
    attention(x).sum().backward()
    assert x.grad is not None
    assert all(torch.isfinite(p.grad).all() for p in attention.parameters())
    assert torch.isfinite(x.grad).all()


def test_non_local_block_starts_as_the_identity() -> None:
    x = torch.rand(1, 4, 5, 6)
    assert torch.equal(RegionNonLocal(4, 2)(x), x)


def test_non_local_block_gathers_within_its_quarter() -> None:
    block, x = RegionNonLocal(4, 2), torch.rand(1, 4, 5, 6)
    nn.init.normal_(block.restore.weight)
    result = block(x)
    for rows in (slice(0, 2), slice(2, 5)):
        for columns in (slice(0, 3), slice(3, 6)):
            region = x[0, :, rows, columns].flatten(1)
            query, key, value = (
                layer.weight[:, :, 0, 0] @ region + layer.bias[:, None]
                for layer in (block.query, block.key, block.value)
            )
            likeness = torch.softmax(query.T @ key, dim=1)
            found = block.restore.weight[:, :, 0, 0] @ (value @ likeness.T) + block.restore.bias[:, None]
            assert torch.allclose(result[0, :, rows, columns].flatten(1), region + found, atol=1e-5)


def test_non_local_block_bears_an_image_of_one_row() -> None:
    x = torch.rand(1, 4, 1, 3)
    assert RegionNonLocal(4, 2)(x).shape == x.shape


# conditions


def test_feature_transform_without_its_last_layers_is_the_identity() -> None:
    transform, x, condition = FeatureTransform(3, 2), torch.rand(1, 3, 4, 4), torch.rand(1, 2, 4, 4)
    assert not torch.allclose(transform(x, condition), x)
    for branch in (transform.gamma, transform.beta):
        nn.init.zeros_(branch[-1].weight)
        nn.init.zeros_(branch[-1].bias)
    assert torch.equal(transform(x, condition), x)


def test_feature_transform_scales_and_shifts_each_position() -> None:
    transform, x, condition = FeatureTransform(3, 2), torch.rand(1, 3, 4, 4), torch.rand(1, 2, 4, 4)

    def branch(layers: nn.Module) -> Tensor:
        return same(F.leaky_relu(same(condition, layers[0]), 0.1), layers[2])  # type: ignore[index]

    expected = x + x * branch(transform.gamma) + branch(transform.beta)
    assert torch.allclose(transform(x, condition), expected, atol=1e-6)


# dense and multi-path


def test_dense_layers_see_all_before_them() -> None:
    block, x = DenseLayers(3, growth=2, layers=3), torch.rand(1, 3, 5, 5)
    known = x
    for layer in block.layers:
        known = torch.cat([known, F.relu(same(known, layer[0]))], dim=1)
    assert torch.equal(block(x), known)


def test_dense_layers_may_leave_out_their_input() -> None:
    block, x = DenseLayers(3, growth=2, layers=3, keep_input=False), torch.rand(1, 3, 5, 5)
    first = F.relu(same(x, block.layers[0][0]))
    second = torch.cat([first, F.relu(same(first, block.layers[1][0]))], dim=1)
    assert torch.equal(block(x), torch.cat([second, F.relu(same(second, block.layers[2][0]))], dim=1))


def test_residual_dense_block_adds_the_fusion() -> None:
    block, x = ResidualDenseBlock(3, growth=2, layers=2), torch.rand(1, 3, 5, 5)
    assert torch.allclose(block(x), x + same(block.layers(x), block.fuse), atol=1e-6)


def test_multi_scale_block_exchanges_between_its_paths() -> None:
    block, x = MultiScaleBlock(2), torch.rand(1, 2, 6, 6)
    three, five = (F.relu(same(x, layer)) for layer in block.first)
    both = torch.cat([three, five], dim=1)
    three, five = (F.relu(same(both, layer)) for layer in block.second)
    assert [layer.kernel_size[0] for layer in (*block.first, *block.second)] == [3, 5, 3, 5]
    assert torch.allclose(block(x), x + same(torch.cat([three, five], dim=1), block.fuse), atol=1e-6)


def test_cascade_fuses_all_results_after_every_block() -> None:
    first, second = ResidualBlock(2), ResidualBlock(2)
    cascade, x = Cascade(2, [first, second]), torch.rand(1, 2, 5, 5)
    one = first(x)
    fused = F.relu(same(torch.cat([x, one], dim=1), cascade.fusions[0][0]))
    two = second(fused)
    expected = F.relu(same(torch.cat([x, one, two], dim=1), cascade.fusions[1][0]))
    assert torch.equal(cascade(x), expected)


def test_cascade_of_one_shared_block_keeps_its_weights_once() -> None:
    block = ResidualBlock(2)
    cascade, shared = Cascade(2, [block], steps=3), sum(p.numel() for p in block.parameters())
    assert sum(p.numel() for p in cascade.blocks.parameters()) == shared
    assert len([name for name in cascade.state_dict() if name.startswith("blocks.")]) == len(block.state_dict())
    used: list[int] = []
    block.register_forward_hook(lambda *_: used.append(1))
    cascade(torch.rand(1, 2, 4, 4))
    assert len(used) == 3


# convolutions


def test_shared_unit_shares_convolutions_and_not_norms() -> None:
    unit = SharedUnit(3, applications=4)
    assert len(unit) == 4
    assert sum(isinstance(module, nn.Conv2d) for module in unit.modules()) == 2
    assert sum(isinstance(module, nn.BatchNorm2d) for module in unit.modules()) == 8
    unit(torch.rand(2, 3, 4, 4), 2)
    tracked = [[int(norm.num_batches_tracked) for norm in pair] for pair in unit.norms]
    assert tracked == [[0, 0], [0, 0], [1, 1], [0, 0]]


def test_grouped_residual_block_mixes_its_groups_at_the_end() -> None:
    block, x = ResidualBlock(4, groups=2, after=nn.ReLU), torch.randn(1, 4, 5, 5)
    first, second, mix = (layer for layer in block.body if isinstance(layer, nn.Conv2d))
    inner = [F.conv2d(x[:, 2 * g : 2 * g + 2], first.weight[2 * g : 2 * g + 2], padding=1) for g in range(2)]
    hidden = F.relu(torch.cat(inner, dim=1) + first.bias[:, None, None])
    inner = [F.conv2d(hidden[:, 2 * g : 2 * g + 2], second.weight[2 * g : 2 * g + 2], padding=1) for g in range(2)]
    hidden = F.relu(torch.cat(inner, dim=1) + second.bias[:, None, None])
    assert torch.allclose(block(x), F.relu(x + same(hidden, mix)), atol=1e-6)


def test_dilated_convolution_keeps_the_size_and_looks_further() -> None:
    layer, x = conv(1, 1, 3, dilation=2), torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 1
    touched = (layer(x) - layer.bias)[0, 0].nonzero()
    assert layer(x).shape == x.shape
    assert sorted(map(tuple, touched.tolist())) == [(r, c) for r in (1, 3, 5) for c in (1, 3, 5)]
