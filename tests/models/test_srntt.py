"""SRNTT: its size, where the layers lie, what the similarity does, and how a content extractor is taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.srntt import CELLS, LAYERS, SRNTT, ContentExtractor, SRNTTContent, enlarge_similarity
from sr_experiments.models.weights import load_weights
from sr_experiments.upsamplers import Interpolation, ResizeConv, SubPixel, Transposed

TINY: dict[str, Any] = {"features": 4, "content_blocks": 1, "blocks": (1, 1, 1)}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def textures(scale: int, height: int, width: int, batch: int = 1) -> tuple[dict[str, Tensor], Tensor]:
    """Maps and similarity for LR images of this size."""
    draw = torch.Generator().manual_seed(5)
    rows, columns = -(-height * scale // 4), -(-width * scale // 4)
    sizes = {name: (rows * 4 // cell, columns * 4 // cell) for name, cell in CELLS.items()}
    maps = {name: torch.rand(batch, channels, *sizes[name], generator=draw) for name, channels in LAYERS.items()}
    return maps, torch.rand(batch, 1, rows, columns, generator=draw)


def image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(6))


# sizes


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        (1_222_528, lambda: ContentExtractor(3, 64, 16, "batch")),
        (1_222_528 + 295_619, lambda: SRNTTContent(4, SubPixel)),
        (1_222_528 + 2_865_347, lambda: SRNTT(4, SubPixel)),
        # A slope and an offset for each layer.
        (4_087_875 + 6, lambda: SRNTT(4, SubPixel, weigh_maps=True)),
        # x8: one stage more of the upsampler, from 64 to 4 * 64 channels.
        (4_087_875 + 64 * 256 * 9 + 256, lambda: SRNTT(8, SubPixel)),
        # x2: without the level of relu3_1, which has 1,552,832.
        (4_087_875 - 1_552_832, lambda: SRNTT(2, SubPixel)),
        # 16 and 8 blocks at the finer levels: 8 and 4 more, each of two convolutions and two batch norms.
        (4_087_875 + 12 * 2 * (64 * 64 * 9 + 128), lambda: SRNTT(4, SubPixel, blocks=[16, 16, 8])),
        # Without batch norm every convolution that stood in front of one has a bias: 64 in place of 128.
        (4_087_875 - 64 * (2 * (16 + 16 + 8 + 4) + 4), lambda: SRNTT(4, SubPixel, norm="none")),
    ],
)
def test_number_of_parameters(expected: int, make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        assert count(make()) == expected


def test_the_texture_transfer_has_the_published_size() -> None:
    with torch.device("meta"):
        network = SRNTT(4, SubPixel)
    assert count(network) - count(network.content) == 2_865_347


def test_weights_start_as_released() -> None:
    torch.manual_seed(0)
    network = SRNTT(4, SubPixel, features=32, content_blocks=2, blocks=(2, 2, 2))
    kernel = network.transfer["relu3_1"].fuse[0]
    assert kernel.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not kernel.bias.any()
    gammas = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert gammas.mean().item() == pytest.approx(1, abs=0.01)
    assert gammas.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_upsampler_keeps_its_own_start() -> None:
    network = SRNTT(4, lambda **options: SubPixel(**options, icnr=True), **TINY)
    weight = network.upsample["relu3_1"].layers[0].weight
    assert torch.equal(weight[::4], weight[3::4])


# shapes and scales


@pytest.mark.parametrize("upsampler", [SubPixel, ResizeConv, Transposed])
@pytest.mark.parametrize(("scale", "height", "width"), [(4, 5, 6), (8, 3, 4), (2, 6, 8), (2, 7, 5)])
def test_enlarges_and_every_parameter_learns(upsampler: Any, scale: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    network = SRNTT(scale, upsampler, weigh_maps=True, norm="none", output="linear", **TINY)
    sr = network(image(height, width, 2), *textures(scale, height, width, 2))
    assert sr.shape == (2, 3, height * scale, width * scale)
    # Numbers of any kind: a plain mean would hide a parameter whose gradients cancel.
    (sr * torch.rand(sr.shape)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(("scale", "levels"), [(2, ["relu2_1", "relu1_1"]), (4, list(LAYERS)), (8, list(LAYERS))])
def test_every_layer_meets_features_of_its_size(scale: int, levels: list[str]) -> None:
    network = SRNTT(scale, SubPixel, **TINY)
    assert network.layers == levels
    seen = {}
    for name in levels:
        hook = lambda module, inputs, output, name=name: seen.update({name: inputs[0].shape[-2:]})  # noqa: E731
        network.transfer[name].register_forward_hook(hook)
    network(image(4, 6), *textures(scale, 4, 6))
    assert seen == {name: (4 * scale // CELLS[name], 6 * scale // CELLS[name]) for name in levels}


@pytest.mark.parametrize("scale", [1, 3, 5, 6])
def test_scales_without_a_place_for_the_layers_are_refused(scale: int) -> None:
    with pytest.raises(UserError, match=rf"scale={scale}: .* Use scale=2, 4 or 8"):
        SRNTT(scale, SubPixel)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("upsampler", [SubPixel, ResizeConv, Transposed])
def test_the_content_network_enlarges_by_every_scale(upsampler: Any, scale: int) -> None:
    network = SRNTTContent(scale, upsampler, features=4, blocks=1)
    sr = network(image(5, 6, 2))
    assert sr.shape == (2, 3, 5 * scale, 6 * scale)
    assert sr.min() >= 0
    assert sr.max() <= 1


def test_surplus_cells_at_odd_sizes_do_not_matter() -> None:
    # x2 of 7x5: the HR size, 14x10, is covered by 4x3 cells, which reach 2 pixels further.
    network = SRNTT(2, SubPixel, **TINY).eval()
    maps, similarity = textures(2, 7, 5)
    before = network(image(7, 5), maps, similarity)
    maps["relu1_1"][..., 14:, :] += 1
    maps["relu2_1"][..., 5:] += 1
    assert torch.equal(network(image(7, 5), maps, similarity), before)


def test_relu3_1_serves_the_matching_alone_at_x2() -> None:
    network = SRNTT(2, SubPixel, **TINY)
    maps, similarity = textures(2, 6, 6)
    del maps["relu3_1"]
    assert network(image(6, 6), maps, similarity).shape == (1, 3, 12, 12)


@pytest.mark.parametrize("name", list(LAYERS))
def test_every_map_reaches_the_image_in_its_place(name: str) -> None:
    torch.manual_seed(0)
    network = SRNTT(4, SubPixel, **TINY).eval()
    maps, similarity = textures(4, 24, 24)
    before = network(image(24, 24), maps, similarity)
    cell = CELLS[name]
    maps[name][..., 48 // cell, 48 // cell] += 5
    changed = (network(image(24, 24), maps, similarity) - before).abs().sum(dim=1)[0].nonzero()
    assert len(changed)
    # Eight or so 3x3 convolutions on cells of 4, 2 and 1 pixels: far from the whole image of 96x96.
    assert (changed - 48).abs().max() < 46


def test_the_last_layer_is_mapped_back_to_the_range_of_images() -> None:
    lr, given = image(4, 4), textures(4, 4, 4)
    for output, expected in {
        "tanh": torch.full((1, 3, 16, 16), (torch.tanh(torch.tensor(0.5)).item() + 1) / 2),
        "linear": torch.full((1, 3, 16, 16), 0.75),
        "bicubic": bicubic_upsample(lr, scale=4) + 0.25,
    }.items():
        network = SRNTT(4, SubPixel, output=output, **TINY)
        nn.init.zeros_(network.tail[-1].weight)
        nn.init.constant_(network.tail[-1].bias, 0.5)
        torch.testing.assert_close(network(lr, *given), expected)


def test_the_network_sees_images_in_minus_one_to_one() -> None:
    network = SRNTTContent(2, SubPixel, features=4, blocks=1)
    seen: list[Tensor] = []
    network.content.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4))
    assert seen[0][0, :, 0, 0].tolist() == [-1, 0, 1]


# similarity


def test_similarity_only_matters_where_it_weighs() -> None:
    lr, (maps, similarity) = image(5, 5), textures(4, 5, 5)
    for weighed in (False, True):
        network = SRNTT(4, SubPixel, weigh_maps=weighed, **TINY).eval()
        same = torch.equal(network(lr, maps, similarity), network(lr, maps, similarity / 2))
        assert same is not weighed


def test_maps_are_weighed_by_the_sigmoid_and_never_changed() -> None:
    lr, (maps, _) = image(5, 5), textures(4, 5, 5)
    kept = {name: value.clone() for name, value in maps.items()}
    torch.manual_seed(0)
    weighed = SRNTT(4, SubPixel, weigh_maps=True, **TINY).eval()
    plain = SRNTT(4, SubPixel, **TINY).eval()
    plain.load_state_dict({name: v for name, v in weighed.state_dict().items() if not name.startswith("weigh.")})
    # Slope and offset start at 1: at a similarity of 0.3 everywhere the factor is sigmoid(1.3).
    similarity = torch.full((1, 1, 5, 5), 0.3)
    factor = torch.sigmoid(torch.tensor(1.3))
    expected = plain(lr, {name: factor * value for name, value in maps.items()}, similarity)
    for _ in range(2):
        torch.testing.assert_close(weighed(lr, maps, similarity), expected)
    assert all(torch.equal(maps[name], kept[name]) for name in maps)


def test_similarity_is_enlarged_bicubically() -> None:
    similarity = torch.rand(1, 1, 5, 6)
    assert torch.equal(enlarge_similarity(similarity, 1), similarity)
    ours = enlarge_similarity(similarity, 2)[..., 4:-4, 4:-4]
    theirs = F.interpolate(similarity, scale_factor=2, mode="bicubic")[..., 4:-4, 4:-4]
    # torch's kernel has a = -0.75, MATLAB's -0.5.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.1)


# freezing


@pytest.mark.parametrize(("frozen", "freeze_bn"), [(True, None), (True, False), (False, True), (False, None)])
def test_freezing(frozen: bool, freeze_bn: bool | None) -> None:
    torch.manual_seed(0)
    network = SRNTT(4, SubPixel, freeze_content=frozen, freeze_bn=freeze_bn, **TINY).train()
    assert {p.requires_grad for p in network.content.parameters()} == {not frozen}
    others = [p for name, p in network.named_parameters() if not name.startswith("content.")]
    assert all(p.requires_grad for p in others)
    before = {name: value.clone() for name, value in network.content.named_buffers()}
    lr, given = image(5, 5, 2), textures(4, 5, 5, 2)
    sr = network(lr, *given)
    moved = any(not torch.equal(value, before[name]) for name, value in network.content.named_buffers())
    keeps = frozen if freeze_bn is None else freeze_bn
    assert moved is not keeps
    # With running averages an image's content is its own, whatever else is in the batch.
    alone = torch.cat([network.content(one[None]) for one in lr])
    assert torch.allclose(network.content(lr), alone, atol=1e-6) is keeps
    sr.mean().backward()
    assert all((p.grad is None) is frozen for p in network.content.parameters())
    assert network.transfer.training
    assert not network.eval().content.training


def test_there_must_be_a_batch_norm_to_freeze() -> None:
    with pytest.raises(UserError, match="nothing to freeze"):
        SRNTT(4, SubPixel, norm="none", freeze_bn=True)
    SRNTT(4, SubPixel, norm="none", freeze_content=True, **TINY)


# taking over a content extractor


def test_begins_from_a_content_network() -> None:
    content = SRNTTContent(2, SubPixel, features=4, blocks=1)
    network = SRNTT(4, SubPixel, **TINY)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    load_weights(network, network.begin_from(content.state_dict()), "file")
    for name, value in network.state_dict().items():
        assert torch.equal(value, content.state_dict()[name] if name.startswith("content.") else own[name]), name
    lr = image(5, 5)
    torch.testing.assert_close(network.eval().content(lr), content.eval().content(lr))


def test_begins_from_its_own_weights_unchanged() -> None:
    other = SRNTT(4, SubPixel, weigh_maps=True, **TINY).state_dict()
    assert SRNTT(4, SubPixel, **TINY).begin_from(other) == other
    assert SRNTT(4, SubPixel, **TINY).begin_from({"foreign": torch.ones(1)}).keys() == {"foreign"}


def test_a_content_network_that_does_not_fit_is_named() -> None:
    network = SRNTT(4, SubPixel, **TINY)
    larger = SRNTTContent(4, SubPixel, features=4, blocks=2).state_dict()
    with pytest.raises(UserError, match=r"file does not fit SRNTT: missing content\.body\.1"):
        load_weights(network, network.begin_from(larger), "file")
    incomplete = SRNTTContent(4, SubPixel, features=4, blocks=1).state_dict()
    del incomplete["content.head.0.weight"]
    with pytest.raises(UserError, match=r"missing content\.head\.0\.weight"):
        load_weights(network, network.begin_from(incomplete), "file")


# what makes no sense


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "layer"}, "model.norm=layer is unknown: use batch or none"),
        ({"output": "sigmoid"}, "model.output=sigmoid is unknown: use tanh, linear, bicubic"),
        ({"blocks": [16, 8]}, r"model.blocks=\[16, 8\] must be three positive numbers"),
        ({"blocks": [16, 8, 0]}, "three positive numbers"),
    ],
)
def test_bad_options(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SRNTT(4, SubPixel, **wrong)


def test_a_fixed_upsampler_is_refused() -> None:
    for network in (SRNTT, SRNTTContent):
        with pytest.raises(UserError, match="SRNTT enlarges its feature maps inside"):
            network(4, Interpolation)
