"""`sr-eval` of networks that take references: by checkpoint and by name, with references and without."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from skimage import data

from sr_experiments.app.compose import compose_config
from sr_experiments.app.evaluate import _network, _stages
from sr_experiments.app.trained import load_trained
from sr_experiments.commands.eval import main
from sr_experiments.data.images import read_image
from sr_experiments.degradations import Bicubic, PillowResize
from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching import Matching
from tests.commands.test_upscale import difference, save
from tests.commands.test_upscale_references import TINY, direct, srntt, write_checkpoint

TESTING = ["trainer.accelerator=cpu", "data.num_workers=0"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("srntt") / "srntt.ckpt")


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups in the layout of CUFED5, with two references each."""
    folder = tmp_path_factory.mktemp("cufed5")
    for group, top in (("000", 60), ("001", 120)):
        save(folder / f"{group}_0.png", data.astronaut()[top : top + 56, 180:248].copy())
        save(folder / f"{group}_1.png", data.astronaut()[top + 8 : top + 56, 190:250].copy())
        save(folder / f"{group}_2.png", data.coffee()[top : top + 40, 100:160].copy())
    return folder


@pytest.fixture
def evaluate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., dict[str, Any] | str]]:
    """Run the command in a new folder: its results, or its message if it ends with exit code 2."""
    folders = iter(range(100))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the command sets it, too

    def call(*arguments: str) -> dict[str, Any] | str:
        folder = tmp_path / str(next(folders))
        monkeypatch.setattr(sys, "argv", ["sr-eval", *TESTING, *arguments, f"hydra.run.dir={folder}"])
        monkeypatch.chdir(tmp_path)
        code = main()
        message = capsys.readouterr().err
        if code:
            assert code == 2
            return message
        return {"folder": folder, **json.loads((folder / "results.json").read_text())}

    yield call
    root.handlers[:], root.level = handlers, level  # a command that ends its process need not do that


def lr_of(path: Path) -> np.ndarray[Any, Any]:
    hr = torch.from_numpy(read_image(path) / 255.0).float().permute(2, 0, 1)[None]
    return (Bicubic(4)(hr)[0].permute(1, 2, 0) * 255).round().byte().numpy()


def test_by_checkpoint_and_by_name_on_pairs(
    checkpoint: Path, groups: Path, evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    cufed5 = ["data=cufed5", f"data.root={groups}", "data.sets.0.levels=[1,2]"]
    results = evaluate(f"checkpoint={checkpoint}", *cufed5)
    assert list(results["test"]) == ["CUFED5_L1", "CUFED5_L2", "CUFED5_all"]
    matching = Matching(FeatureNetwork(weights="random"), Bicubic(4), 4)
    for name, levels in (("CUFED5_L1", [1]), ("CUFED5_L2", [2]), ("CUFED5_all", [1, 2])):
        refs = [read_image(groups / f"001_{level}.png") for level in levels]
        expected = direct(srntt(4), matching, lr_of(groups / "001_0.png"), refs)
        assert difference(read_image(results["folder"] / "images" / name / "001.png"), expected) <= 1
    similar = {name: scores["similarity"] for name, scores in results["test"].items()}
    assert similar["CUFED5_L2"] < similar["CUFED5_L1"] <= similar["CUFED5_all"] <= 1
    assert results["random_features"] is True

    torch.save(srntt(4).state_dict(), tmp_path / "bare.pth")
    by_name = [word for word in TINY if word.startswith(("model", "feature_network"))]
    again = evaluate(*by_name, f"weights={tmp_path / 'bare.pth'}", *cufed5)
    assert again["test"] == results["test"]


def test_without_references_every_image_is_its_own(
    checkpoint: Path, groups: Path, evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    save(tmp_path / "sets" / "one" / "000.png", read_image(groups / "000_0.png"))
    results = evaluate(f"checkpoint={checkpoint}", f"data.root={tmp_path / 'sets'}", "data.sets=[one]")
    matching = Matching(FeatureNetwork(weights="random"), Bicubic(4), 4)
    expected = direct(srntt(4), matching, lr_of(groups / "000_0.png"), [])
    assert difference(read_image(results["folder"] / "images" / "one" / "000.png"), expected) <= 1


def test_settings_that_nothing_would_read_are_refused(
    checkpoint: Path, groups: Path, evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    given = [f"checkpoint={checkpoint}", "data=cufed5", f"data.root={groups}"]
    assert "a checkpoint brings its own feature_network" in evaluate(*given, "feature_network.weights=random")
    assert "a checkpoint brings its own matching" in evaluate(*given, "matching=vgg19", "matching.chunk=5")
    assert "a checkpoint brings its own matching" in evaluate(*given, "+matching.chunk=5")
    gone = tmp_path / "gone.pth"
    message = evaluate(*given, "data.sets.0.levels=[1,2]", f"feature_weights={gone}")
    assert f"{gone} is not there" in message
    assert "In this command that is feature_weights=FILE" in message


def test_references_are_blurred_by_what_makes_the_lr_images(checkpoint: Path) -> None:
    trained = load_trained(checkpoint)
    stages = _stages(compose_config("eval", [f"checkpoint={checkpoint}"]), trained)
    assert stages.matching is not None
    assert isinstance(stages.matching.degradation, Bicubic)
    config = compose_config("eval", [f"checkpoint={checkpoint}", "degradation=pillow_bicubic", "scale=4"])
    stages = _stages(config, trained)
    assert stages.matching is not None
    assert isinstance(stages.degradation, PillowResize)
    assert isinstance(stages.matching.degradation, PillowResize)


def test_a_network_by_name_and_its_matching_belong_together(tmp_path: Path) -> None:
    torch.save(srntt(4).state_dict(), tmp_path / "bare.pth")
    by_name = [*(word for word in TINY if word.startswith("model")), f"weights={tmp_path / 'bare.pth'}", "scale=4"]
    config = compose_config("eval", by_name)
    trained = _network(config)
    assert trained.matching == OmegaConf.to_container(config.matching, resolve=True)
    assert trained.matching["degradation"] == trained.degradation
    config = compose_config("eval", [*by_name, "~matching"])
    with pytest.raises(UserError, match="nothing says how to match them: matching=vgg19"):
        _stages(config, _network(config))
    plain = ["model=small", f"weights={tmp_path / 'plain.pth'}", "scale=4"]
    config = compose_config("eval", [*plain, "matching=vgg19"])
    torch.save(instantiate(config.model).state_dict(), tmp_path / "plain.pth")
    with pytest.raises(UserError, match="SmallResNet takes no references: leave the matching out with ~matching"):
        _stages(config, _network(config))
    config = compose_config("eval", plain)
    assert _stages(config, _network(config)).matching is None
    config.feature_weights = "random"
    with pytest.raises(UserError, match="so nothing would read feature_weights=FILE"):
        _stages(config, _network(config))
