"""Matching of images: sizes, references, self-reference, and what must not change the outcome."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import Bicubic, bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching import LAYERS, Match, Matching, correspond, extract
from tests.matching.conftest import match_directly, paste_directly

Make = Callable[..., Matching]


@pytest.fixture
def make(network: FeatureNetwork) -> Make:
    def matching(scale: int = 4, **options: Any) -> Matching:
        return Matching(network, Bicubic(scale), scale, **options)

    return matching


def shrink(hr: Tensor, scale: int = 4) -> Tensor:
    return Bicubic(scale)(hr)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_equals_direct_loops_over_patches_of_images(make: Make, network: FeatureNetwork, photograph: Tensor) -> None:
    hr, refs = photograph[None, :, 100:132, 200:240], [photograph[:, 90:114, 190:222], photograph[:, 200:220, 300:316]]
    match = make().find(shrink(hr), refs)
    content = extract(network, bicubic_upsample(shrink(hr), 4), ["relu3_1"])["relu3_1"]
    blurred = [extract(network, bicubic_upsample(shrink(ref[None]), 4), ["relu3_1"])["relu3_1"] for ref in refs]
    where, cosine, margin = match_directly(content, blurred)
    assert margin.min() > 1e-6
    np.testing.assert_allclose(match.similarity[0, 0, 1:-1, 1:-1].numpy(), cosine, atol=1e-5)
    assert torch.equal(match.similarity[..., 0, :], match.similarity[..., 1, :])
    assert torch.equal(match.similarity[..., -1], match.similarity[..., -2])
    sharp = [extract(network, ref[None], LAYERS) for ref in refs]
    for layer, values in match.maps().items():
        expected = paste_directly([features[layer] for features in sharp], where, LAYERS[layer])
        np.testing.assert_allclose(values[0].numpy(), expected, atol=1e-5)


def test_the_source_as_reference_gives_its_own_features(
    make: Make, network: FeatureNetwork, photograph: Tensor
) -> None:
    hr = photograph[:, 40:136, 200:320]
    matching = make()
    found = matching.find(shrink(hr[None]), [photograph[:, 300:340, 20:80], hr])
    truth, ones = matching.truth(hr[None])
    for layer, values in found.maps().items():
        expected = extract(network, hr[None], [layer])[layer][None]
        torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(truth[layer], expected)
    torch.testing.assert_close(found.similarity, ones)
    assert ones.shape == (1, 1, 24, 30)
    assert bool((ones == 1).all())


@pytest.mark.parametrize(
    ("scale", "lr_size", "cells"),
    [(4, (13, 9), (13, 9)), (2, (13, 10), (7, 5)), (3, (11, 9), (9, 7)), (8, (6, 5), (12, 10)), (1, (13, 18), (4, 5))],
)
def test_maps_cover_the_whole_image_at_every_scale(
    make: Make, photograph: Tensor, scale: int, lr_size: tuple[int, int], cells: tuple[int, int]
) -> None:
    hr = photograph[None, :, : lr_size[0] * scale, : lr_size[1] * scale]
    refs = [photograph[:, 50:99, 60:121], photograph[:, :24, :50]]
    matching = make(scale)
    for maps, similarity in (matching(shrink(hr, scale), [refs]), matching.truth(hr)):
        assert similarity.shape == (1, 1, *cells)
        for layer, ratio in LAYERS.items():
            assert maps[layer].shape[-2:] == (cells[0] * ratio, cells[1] * ratio)
            assert maps[layer].dtype == torch.float32


def test_what_is_beyond_the_image_repeats_its_border(make: Make, network: FeatureNetwork, photograph: Tensor) -> None:
    hr = photograph[None, :, :26, :42]
    maps, _ = make(2).truth(hr)
    assert torch.equal(
        maps["relu1_1"][0], extract(network, F.pad(hr, (0, 2, 0, 2), mode="replicate"), ["relu1_1"])["relu1_1"]
    )


def test_batch_equals_one_by_one(make: Make, photograph: Tensor) -> None:
    hr = torch.stack([photograph[:, 50 * k : 50 * k + 48, 90 * k : 90 * k + 60] for k in range(4)])
    refs = [
        [photograph[:, 10:80, 20:100], photograph[:, 200:230, 300:317]],
        [],
        [photograph[:, 10:80, 20:100]],
        [photograph[:, 90:150, 10:70], photograph[:, 200:230, 300:317], photograph[:, :13, :14]],
    ]
    matching = make()
    maps, similarity = matching(shrink(hr), refs)
    for number, own in enumerate(refs):
        match = matching.find(shrink(hr)[number : number + 1], own)
        assert same(match.maps(), {layer: values[number : number + 1] for layer, values in maps.items()})
        assert torch.equal(match.similarity, similarity[number : number + 1])
    # References prepared once serve every image alike.
    prepared = matching.references(refs[0])
    for number in (0, 2):
        lr = shrink(hr)[number : number + 1]
        assert same(matching.find(lr, prepared).maps(), matching.find(lr, refs[0]).maps())


@pytest.mark.parametrize("refs", [1, 0])
@pytest.mark.parametrize("self_reference", ["shared", "per_layer"])
def test_a_window_is_a_part_of_the_whole(make: Make, photograph: Tensor, refs: int, self_reference: str) -> None:
    match = make(2, self_reference=self_reference).find(
        shrink(photograph[None, :, :66, :94], 2), [photograph[:, 90:150, 10:80]] * refs
    )
    whole = match.maps()
    for rows, columns in ((slice(0, 5), None), (slice(9, 17), slice(3, 24)), (None, slice(23, 99))):
        window = match.maps(rows, columns)
        for layer, ratio in LAYERS.items():
            top, bottom, _ = (rows or slice(None)).indices(17)
            left, right, _ = (columns or slice(None)).indices(24)
            expected = whole[layer][..., top * ratio : bottom * ratio, left * ratio : right * ratio]
            assert torch.equal(window[layer], expected)


def test_chunks_change_nothing_on_photographs(network: FeatureNetwork, photograph: Tensor) -> None:
    hr, ref = photograph[None, :, 100:260, 200:320], photograph[:, 60:260, 130:290]
    match: list[Match] = []
    for chunk in (1, 500_000, 2**22, 2**27):
        match.append(Matching(network, Bicubic(4), 4, chunk).find(shrink(hr), [ref, ref, ref[:, 1:]]))
    for other in match[1:]:
        assert torch.equal(other.similarity, match[0].similarity)
        assert torch.equal(other.correspondences["relu3_1"].index, match[0].correspondences["relu3_1"].index)
    single = Matching(network, Bicubic(4), 4).find(shrink(hr), [ref])
    assert int(single.correspondences["relu3_1"].index.max()) < 50 * 40
    assert float((single.similarity > match[0].similarity).sum()) == 0


def test_published_weights_match_a_shifted_photograph(assets: Path, photograph: Tensor) -> None:
    network = FeatureNetwork("vgg19", assets / "weights" / "vgg19_imagenet_features.safetensors")
    matching = Matching(network, Bicubic(4), 4)
    # Both windows begin at multiples of 4 pixels, so that the cells inside lie on one another, 5 down and 10 across.
    hr, ref = photograph[:, 120:220, 200:300], photograph[:, 100:240, 160:320]
    match = matching.find(shrink(hr[None]), [ref])
    index = match.correspondences["relu3_1"].index[4:-4, 4:-4]
    rows = torch.arange(4, 19)[:, None] + 5
    expected = rows * 40 + torch.arange(4, 19) + 10
    assert float((index == expected).float().mean()) > 0.98
    assert float(match.similarity[..., 4:-4, 4:-4].min()) > 0.9
    coarse = Matching(network, Bicubic(4), 4, chunk=1).find(shrink(hr[None]), [ref])
    assert torch.equal(coarse.correspondences["relu3_1"].index, match.correspondences["relu3_1"].index)
    assert torch.equal(coarse.similarity, match.similarity)


def test_features_of_tiles_are_those_of_the_whole(photograph: Tensor) -> None:
    network = FeatureNetwork("vgg13", "random")  # up to relu3_1, it has the convolutions of VGG19
    image = photograph[None, :, :76, :100]
    whole = extract(network, image, LAYERS)
    for tile in (20, 32, 72):
        tiles = extract(network, image, LAYERS, tile)
        for layer in LAYERS:
            torch.testing.assert_close(tiles[layer], whole[layer], rtol=1e-5, atol=1e-6)


def test_shared_self_reference_is_lr_as_a_reference(make: Make, photograph: Tensor) -> None:
    lr = shrink(photograph[None, :, :100, :132])
    matching = make()
    own, other = matching.find(lr, []), matching.find(lr, [lr[0]])
    assert torch.equal(own.similarity, other.similarity)
    assert same(own.maps(), other.maps())
    assert own.references.sizes("relu3_1") == ((6, 8),)  # 25x33 pixels, cut to 24x32


def test_self_reference_per_layer_matches_each_layer_alone(
    make: Make, network: FeatureNetwork, photograph: Tensor
) -> None:
    lr = shrink(photograph[None, :, 200:264, 100:148])
    match = make(self_reference="per_layer").find(lr, [])
    content, reference = extract(network, bicubic_upsample(lr, 4), LAYERS), extract(network, lr, LAYERS)
    for layer, values in match.maps().items():
        found = correspond(content[layer], [reference[layer]])
        where = np.stack(
            [0 * found.index, found.index // reference[layer].shape[2], found.index % reference[layer].shape[2]]
        )
        np.testing.assert_allclose(
            values[0].numpy(), paste_directly([reference[layer]], where.transpose(1, 2, 0), 1), atol=1e-5
        )
    assert match.similarity.shape == (1, 1, 16, 12)


@pytest.mark.parametrize("self_reference", ["shared", "per_layer"])
def test_flat_images_give_no_nan(make: Make, self_reference: str) -> None:
    matching = make(self_reference=self_reference)
    for value in (0.0, 0.5, 1.0):
        flat = torch.full((1, 3, 16, 16), value)
        for refs in ([], [torch.full((3, 40, 40), 1 - value)], [torch.rand(3, 20, 40)]):
            maps, similarity = matching(flat, [refs])
            assert all(bool(torch.isfinite(values).all()) for values in (*maps.values(), similarity))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_changes_nothing(make: Make, photograph: Tensor, dtype: torch.dtype) -> None:
    lr, refs = shrink(photograph[None, :, :80, :80]), [photograph[:, 200:280, 300:400]]
    matching = make()
    expected = matching.find(lr, refs)
    maps, truth = expected.maps(), matching.truth(photograph[None, :, :80, :80])[0]
    with torch.autocast("cpu", dtype):
        found = matching.find(lr, refs)
        assert same(found.maps(), maps)
        assert torch.equal(found.similarity, expected.similarity)
        assert same(matching.truth(photograph[None, :, :80, :80])[0], truth)


def test_gradients_end_here_and_inference_mode_does_not_linger(make: Make, photograph: Tensor) -> None:
    matching, refs = make(), [photograph[:, 200:280, 300:400]]
    lr = shrink(photograph[None, :, :80, :80])
    with torch.inference_mode():
        matching(lr, [refs])
    maps, similarity = matching(lr.clone().requires_grad_(), [refs])
    assert not any(values.requires_grad for values in (*maps.values(), similarity))
    weight = torch.ones(1, requires_grad=True)
    sum((values * weight).mean() for values in (*maps.values(), similarity)).backward()  # type: ignore[union-attr]


def test_it_adds_nothing_to_a_checkpoint_or_an_optimizer(make: Make) -> None:
    matching = make()
    holder = nn.ModuleDict({"matching": matching})
    assert list(holder.parameters()) == []
    assert holder.state_dict() == {}
    assert "scale=4" in repr(matching)
    copy.deepcopy(holder)


class Keyed(nn.Module):
    """Blurs by a random amount that the key decides."""

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        assert key is not None
        assert len(key) == len(hr)
        weight = (key % 10 / 10).float().view(-1, 1, 1, 1)
        return shrink(hr * weight + F.avg_pool2d(hr, 5, 1, 2) * (1 - weight))


def test_references_are_shrunk_with_the_key_of_their_sample(network: FeatureNetwork, photograph: Tensor) -> None:
    matching = Matching(network, Keyed(), 4)
    lr, refs = shrink(photograph[None, :, :80, :80]).repeat(2, 1, 1, 1), [photograph[:, 200:280, 300:400]] * 2
    key = torch.tensor([19, 3])
    maps, similarity = matching(lr, [refs, refs], key)
    for number in range(2):
        match = matching.find(lr[number : number + 1], refs, key[number : number + 1])
        assert torch.equal(match.similarity[0], similarity[number])
        assert torch.equal(match.maps()["relu1_1"][0], maps["relu1_1"][number])
    assert not torch.equal(similarity[0], similarity[1])


def test_every_nth_update_may_see_the_truth(make: Make) -> None:
    assert [make(truth_every=3).is_truth(step) for step in range(1, 8)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert not any(make().is_truth(step) for step in range(1, 8))


def test_sizes_that_do_not_fit_are_cut_and_it_is_said_once(
    make: Make, photograph: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    matching = make(3)
    lr = shrink(photograph[None, :, :60, :60], 3)
    with caplog.at_level(logging.WARNING):
        uneven = matching.find(lr, [photograph[:, :100, :75], photograph[:, :61, :61]])
        matching.find(lr, [photograph[:, :100, :75]])
    assert [record.getMessage() for record in caplog.records] == [
        "A reference of 100x75 pixels is cut to 96x72, multiples of 12, at the bottom and on the right; "
        "so are others from now on."
    ]
    even = matching.find(lr, [photograph[:, :96, :72], photograph[:, :60, :60]])
    assert same(uneven.maps(), even.maps())


def test_too_small_images_are_refused_with_the_least_size(make: Make) -> None:
    image, lr = torch.rand(3, 40, 40), torch.rand(1, 3, 16, 16)
    with pytest.raises(UserError, match=r"reference of 40x11 pixels is too small .* needs 12x12"):
        make().find(lr, [image, image[..., :11]])
    with pytest.raises(UserError, match=r"reference of 15x40 pixels is too small .* needs 16x16"):
        make(8).find(lr, [image[:, :15]])
    with pytest.raises(UserError, match=r"LR image of 2x16 pixels is too small .* scale 4: it needs 3x3"):
        make().find(lr[..., :2, :], [image])
    with pytest.raises(UserError, match="scale 2: it needs 5x5"):
        make(2).find(lr[..., :4], [image])
    assert make(2).find(lr[..., :5], [image]).similarity.shape == (1, 1, 8, 3)
    with pytest.raises(UserError, match=r"Without a reference, an LR image of 8x16 pixels .* needs 12x12"):
        make().find(lr[..., :8, :], [])
    with pytest.raises(UserError, match="needs 16x16; self_reference=per_layer takes smaller ones"):
        make(8).find(lr[..., :12, :], [])
    assert make(8, self_reference="per_layer").find(lr[..., :12, :], []).similarity.shape == (1, 1, 24, 32)


def test_bad_options_are_refused(make: Make) -> None:
    for options, message in (
        ({"self_reference": "each"}, "choose one of: shared, per_layer"),
        ({"chunk": 0}, r"matching\.chunk=0"),
        ({"truth_every": 1}, r"matching\.truth_every=1 .* 2 or more"),
        ({"scale": 2.5}, r"matching\.scale=2\.5"),
    ):
        with pytest.raises(UserError, match=message):
            make(**options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="resnet18 has no layer relu"):
        Matching(FeatureNetwork("resnet18", "random"), Bicubic(4), 4).find(
            torch.rand(1, 3, 8, 8), [torch.rand(3, 16, 16)]
        )


def test_the_shipped_config_makes_it(tmp_path: Path) -> None:
    conf = Path(__file__).parents[2] / "conf"
    config = OmegaConf.create(
        {
            "scale": 4,
            "paths": {"cache_dir": None},
            **{group: OmegaConf.load(conf / group / f"{name}.yaml") for group, name in
               (("feature_network", "vgg19"), ("degradation", "bicubic"), ("matching", "vgg19"))},
        }
    )  # fmt: skip
    config.matching.cache_dir = str(tmp_path / "matches")
    matching = instantiate(config.matching)
    assert matching.scale == 4
    assert matching.cache.folder == tmp_path / "matches"
    assert matching.feature_network.architecture == "vgg19"
    assert isinstance(matching.degradation, Bicubic)
