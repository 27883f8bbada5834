"""Every shipped option composes, is built for real, and has no key that nothing reads."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import sr_experiments.app.evaluate
import sr_experiments.app.run
from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config, shipped_targets, walk_targets
from sr_experiments.app.run import build
from sr_experiments.data.images import write_png
from sr_experiments.errors import UserError, nearest
from sr_experiments.shipped import conf_dir
from sr_experiments.sweeps import grid, settings

# Options that only an evaluation composes.
OF_EVAL = {("data", "benchmark"), ("trainer", "evaluation"), ("paths", "evaluation"), ("callbacks", "evaluation")}


def options() -> list[tuple[str, str]]:
    found = []
    for file in sorted(conf_dir().glob("*/*.yaml")):
        found.append((file.parent.name, file.stem))
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of one photograph and its LR image."""
    import numpy as np

    root = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    small = pixels[::4, ::4]
    named = {"hr": pixels, "lr": small, "input": pixels, "ref": small, "sets/Set1": pixels}
    named["condition"] = pixels[..., 0] % 8  # a map of eight classes
    for name, image in named.items():
        (root / name).mkdir(parents=True)
        write_png(root / name / "a.png", np.ascontiguousarray(image))
    return root


def overrides_for(group: str, option: str, photos: Path, tmp_path: Path) -> list[str]:
    """What has to be given for an option to be complete."""
    given = [f"paths.run_folder={tmp_path}", f"paths.cache_dir={tmp_path / 'cache'}"]
    if (group, option) in OF_EVAL:
        given += [f"data.root={photos / 'sets'}", "data.sets=[Set1]", "scale=4"]
    # Jobs are pruned by a callback beside the usual ones, not in their place.
    is_added = (group, option) == ("callbacks", "pruning")
    given += [f"callbacks=[default,{option}]"] if is_added else [f"{group}={option}"]
    given += complete(compose_config(config_of(group, option), given), photos)
    return given


def complete(config: DictConfig, photos: Path) -> list[str]:
    train = config.data.get("train")
    return [
        f"data.train.{key}={photos / key}"
        for key in ("hr", "lr", "input", "ref", "condition")
        if isinstance(train, DictConfig) and key in list(train)
    ]


def config_of(group: str, option: str) -> str:
    return "eval" if (group, option) in OF_EVAL else "train"


def in_train(group: str) -> bool:
    """Whether the group is chosen at the top of a training config."""
    return group not in ("discriminator", "objective", "reference")


@pytest.mark.parametrize(("group", "option"), [pair for pair in options() if in_train(pair[0])])
def test_every_option_composes_and_is_understood(group: str, option: str, photos: Path, tmp_path: Path) -> None:
    config = compose_config(config_of(group, option), overrides_for(group, option, photos, tmp_path))
    if "precision" in config.trainer:
        config.trainer.precision = "32-true"
    check_config(config)
    # A key that is not an argument of a part must be referred to by another key, or be read by the commands.
    text = "\n".join(file.read_text() for file in conf_dir().rglob("*.yaml"))
    readers = (sr_experiments.app.run, sr_experiments.app.evaluate, grid, settings)
    sources = "".join(inspect.getsource(module) for module in readers)
    for path in plain_keys(OmegaConf.to_container(config, resolve=False)):
        if re.match(r"sweep\.(grid|keys)\.", path):
            continue  # names that users choose, for keys that are checked when the sweep's jobs are composed
        read = f"${{{path}}}" in text or re.search(rf"config\.{re.escape(path)}\b", sources)
        read = read or f'sweep["{path.removeprefix("sweep.")}"]' in sources
        assert read, f"nothing reads {path}"


def plain_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys that lie outside of any part."""
    if isinstance(node, dict) and "_target_" not in node:
        for key, value in node.items():
            yield from plain_keys(value, f"{prefix}.{key}" if prefix else key)
    elif not isinstance(node, dict):
        yield prefix


@pytest.mark.parametrize("file", sorted(conf_dir().rglob("*.yaml")), ids=lambda f: str(f.relative_to(conf_dir())))
def test_every_option_says_what_it_is(file: Path) -> None:
    lines = file.read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert first.startswith("# ")
    assert len(first) > 10


def own_targets() -> list[str]:
    groups = [folder.name for folder in conf_dir().iterdir() if folder.is_dir()]
    return sorted(target for target in shipped_targets(*groups) if target.startswith("sr_experiments."))


@pytest.mark.parametrize("target", own_targets())
def test_every_argument_of_a_part_is_used(target: str) -> None:
    module, _, name = target.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if not inspect.isclass(found):
        used = names_in(found)
        arguments = set(inspect.signature(found).parameters)
    elif "__dataclass_fields__" in vars(found):
        used = arguments = set()  # a field is kept as it is; whether it is read shows in the part's own tests
    elif inspect.isfunction(found.__init__):
        used = names_in(found.__init__)
        arguments = set(inspect.signature(found).parameters)
    else:
        used = arguments = set()
    # Part of every upsampler's signature; fixed ones have no use for them and networks refuse what cannot work.
    if target.endswith(".Interpolation"):
        arguments -= {"channels", "out_channels", "activation"}
    # Part of every activation's signature; only some have weights for each channel.
    if target in shipped_targets("activation"):
        arguments -= {"features"}
    assert arguments <= used


def names_in(function: Any) -> set[str]:
    """Names read in the body of a function."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    return {node.id for statement in definition.body for node in ast.walk(statement) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("option", [option for group, option in options() if group == "experiment"])
def test_every_experiment_is_built(option: str, photos: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    given = [*overrides_for("experiment", option, photos, tmp_path), "logger=csv"]
    if option in NEED_VGG:
        weights = request.getfixturevalue("assets") / "weights" / "vgg19_imagenet_features.safetensors"
        # Measuring activations has tests of its own and takes long.
        given += [f"feature_network.weights={weights}", "feature_network.normalise=none"]
    run = build(compose_config("train", given))
    assert run.facts()["parameters"] > 0
    assert run.module.loss is not None


def needs_vgg(option: str) -> bool:
    text = (conf_dir() / "experiment" / f"{option}.yaml").read_text()
    loss = re.search(r"override /loss: (\w+)", text)
    return loss is not None and "feature_network" in (conf_dir() / "loss" / f"{loss[1]}.yaml").read_text()


NEED_VGG = {option for group, option in options() if group == "experiment" and needs_vgg(option)}


def brings_an_upsampler(model: str) -> bool:
    """Networks that are whatever their weights say have none to choose."""
    return "override /upsampler@_global_.upsampler: null" not in (conf_dir() / "model" / f"{model}.yaml").read_text()


@pytest.mark.parametrize("model", [o for group, o in options() if group == "model" and brings_an_upsampler(o)])
def test_the_command_line_wins_over_the_paper(model: str) -> None:
    own = compose_config("train", [f"model={model}"])
    only = {"Interpolation": "bicubic", "MetaUpscale": "meta_upscale"}  # what else would be refused
    chosen = only.get(own.upsampler._target_.rpartition(".")[2], "transposed")
    config = compose_config("train", [f"model={model}", f"upsampler={chosen}"])
    expected = OmegaConf.load(conf_dir() / "upsampler" / f"{chosen}.yaml")
    assert config.upsampler == expected
    assert instantiate(config.model).scale == 4


def test_the_command_line_wins_over_a_degradation_of_a_model() -> None:
    assert compose_config("train", ["model=srmd"]).degradation._target_.endswith(".BlurNoise")
    assert compose_config("train", ["model=srmd", "degradation=bd"]).degradation.sigma == 1.6
    assert compose_config("eval", ["model=srmd", "scale=4"]).degradation._target_.endswith(".BlurNoise")


def test_unknown_keys_are_refused_with_the_nearest() -> None:
    config = compose_config("train", ["+model.feature=3", "trainer.precision=32-true", "paths.run_folder=x"])
    with pytest.raises(UserError, match=r"no key model.feature. Did you mean features\?"):
        check_config(config)
    config = compose_config("train", ["+seeds=3", "trainer.precision=32-true", "paths.run_folder=x"])
    with pytest.raises(UserError, match=r"no key seeds.*Did you mean seed\?"):
        check_config(config, added=["seeds"])
    assert nearest("zzzzzz", ["blocks"]) == ""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_steps=many", r"trainer.max_steps=many is of the wrong kind: it must be a whole number"),
        ("model.features=1.5", "model.features=1.5 is of the wrong kind: it must be a whole number"),
        ("optimizer.learning_rate=fast", "a number"),
        ("channels_last=2", "true or false"),
        (
            "optimizer.betas=0.9",
            "optimizer.betas=0.9 is of the wrong kind: it must be a list of 2: a number, a number",
        ),
        ("optimizer.betas=[0.9,high]", "must be a list of 2: a number, a number"),
        ("optimizer.betas=[0.9]", "must be a list of 2"),
        ("model.features=[a,b]", r"model.features=\['a', 'b'\] is of the wrong kind: it must be a whole number\."),
        ("scores.test=psnr", "scores.test=psnr is of the wrong kind: it must be a list, each entry a text"),
        ("scores.parts=3", "must be a mapping, each value a part with a _target_ "),
        ("loss.terms={l1:0.5}", "loss.terms.* must be a mapping, each value"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(override: str, message: str) -> None:
    given = ["trainer.precision=32-true", "paths.run_folder=x", override]
    with pytest.raises(UserError, match=message):
        check_config(compose_config("train", given))


def test_targets_are_found_outermost_first() -> None:
    node = {"a": {"_target_": "x", "b": [{"_target_": "y"}]}}
    assert [(path, part["_target_"]) for path, part in walk_targets(node)] == [("a", "x"), ("a.b[0]", "y")]
