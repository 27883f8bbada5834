"""The shipped losses and feature networks: each composes, builds and gives a gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config
from sr_experiments.losses import WeightedSum
from sr_experiments.shipped import conf_dir

LOSSES = ["srresnet_vgg22", "enhancenet_e", "enhancenet_p", "l1_perceptual", "l1_texture", "l1_contextual"]
LOSSES += ["l1_focal_frequency", "l1_lr_consistency"]
DOWNLOADING = ["l1_resnet50", "l1_lpips", "l1_dists"]

MAIN = """
defaults:
  - _self_
  - degradation: bicubic
  - feature_network: vgg19
  - loss: mse
scale: 4
paths:
  cache_dir: null
"""


def composed(folder: Path, *overrides: str) -> DictConfig:
    (folder / "main.yaml").write_text(MAIN)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("main", [f"hydra.searchpath=[file://{conf_dir()}]", f"paths.cache_dir={folder}", *overrides])


def build(config: DictConfig) -> WeightedSum:
    check_config(config)
    return instantiate(config.loss, _convert_="all")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_gives_a_gradient(name: str, tmp_path: Path, vgg19_file: Path) -> None:
    from sr_experiments.data import training_photographs

    photograph = training_photographs()[0].hr
    weights = [f"feature_network.weights={vgg19_file}", f"feature_network.photographs=[{photograph}]"]
    loss = build(composed(tmp_path, f"loss={name}", *weights))
    generator = torch.Generator().manual_seed(1)
    sr, hr = (torch.rand(1, 3, 64, 64, generator=generator) for _ in range(2))
    sr.requires_grad_()
    values = loss(sr=sr, hr=hr, lr=torch.rand(1, 3, 16, 16, generator=generator), key=None)
    torch.stack([loss.weights[name] * value for name, value in values.items()]).sum().backward()
    assert sr.grad is not None
    assert bool(torch.isfinite(sr.grad).all())
    assert float(sr.grad.abs().max()) > 0
    assert all(float(value.detach()) > 0 for value in values.values())


@pytest.mark.parametrize("name", DOWNLOADING)
def test_a_term_of_weight_0_needs_no_download(name: str, tmp_path: Path) -> None:
    term = next(term for term in composed(tmp_path, f"loss={name}").loss.terms if term != "l1")
    loss = build(composed(tmp_path, f"loss={name}", f"loss.terms.{term}.weight=0"))
    assert list(loss.weights) == ["l1"]


def test_enhancenet_brings_its_normalisation_and_the_command_line_wins(tmp_path: Path) -> None:
    assert composed(tmp_path, "loss=enhancenet_p").feature_network.normalise == "mean_one"
    assert composed(tmp_path, "loss=enhancenet_p", "feature_network=vgg19").feature_network.normalise == "none"
    assert composed(tmp_path, "loss=enhancenet_p", "feature_network.normalise=none").loss.feature_network.normalise == (
        "none"
    )


def test_srntts_loss_brings_the_original_magnitude_and_the_command_line_wins() -> None:
    assert compose_config("train", ["loss=srntt"]).loss.feature_network.normalise == "original"
    for loss in ("srntt", "srntt_l2"):
        config = compose_config("train", ["model=srntt", f"loss={loss}"])
        assert config.matching.feature_network.normalise == "original"
        plain = compose_config("train", ["model=srntt", f"loss={loss}", "feature_network=vgg19"])
        assert plain.matching.feature_network.normalise == "none"
    # A later group wins: the textures then have the magnitude that the loss asks for.
    config = compose_config("train", ["model=srntt", "loss=enhancenet_p"])
    assert config.matching.feature_network.normalise == "mean_one"
    given = ["model=srntt", "weights=x", "scale=4", "data.root=x", "data.sets=[x]"]
    assert compose_config("eval", given).matching.feature_network.normalise == "original"
    assert compose_config("eval", [*given, "feature_network=vgg19"]).matching.feature_network.normalise == "none"


def test_layers_are_switched_on_the_command_line(tmp_path: Path, vgg19_file: Path) -> None:
    key = "loss.terms.perceptual.term.layers"
    overrides = (f"{key}.conv5_4=0", f"+{key}.relu3_1=1", f"feature_network.weights={vgg19_file}")
    assert build(composed(tmp_path, "loss=l1_perceptual", *overrides)).layers == ["relu3_1"]


@pytest.mark.parametrize("path", sorted(conf_dir().glob("feature_network/*.yaml")), ids=lambda path: path.stem)
def test_every_feature_network_builds_without_weights(path: Path, tmp_path: Path) -> None:
    config = composed(tmp_path, f"feature_network={path.stem}")
    check_config(config)
    assert not instantiate(config.feature_network).is_random
