"""Networks that spandrel knows: its image, our commands; checkpoints that need nothing but the library."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import save_file
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.run import build
from sr_experiments.app.trained import load_published, load_trained
from sr_experiments.commands.upscale import main as upscale
from sr_experiments.data.images import read_image, write_png
from sr_experiments.errors import UserError, find_user_error
from sr_experiments.models.spandrel import Spandrel
from sr_experiments.models.weights import load_weights, network_state, read_checkpoint
from tests.harness import TINY, run
from tests.models import published


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("spandrel", reason="the extra sr-experiments[spandrel] is not installed")


def known(architecture: str, name: str, **options: Any) -> nn.Module:
    """A network of spandrel's own code, drawn at random."""
    network = getattr(importlib.import_module(f"spandrel.architectures.{architecture}"), name)(**options)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.08)
    return network


def compact(channels: int = 3, scale: int = 2) -> nn.Module:
    return known("Compact", "Compact", num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=scale)


def swinir() -> nn.Module:
    size = {"img_size": 16, "window_size": 8, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "mlp_ratio": 2}
    return known("SwinIR", "SwinIR", upscale=2, upsampler="pixelshuffledirect", **size)


def rcan() -> nn.Module:
    return published.RCANPyTorch(2)


# Each with its scale: a pure convolution, one that wants multiples of its window, old and new names, another range.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "compact": (compact, 2),
    "swinir": (swinir, 2),
    "esrgan": (lambda: published.ESRGAN(True, growth=32), 4),
    "esrgan_first": (lambda: published.FirstESRGAN([2, 2], growth=32), 4),
    "rcan": (rcan, 2),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def saved(network: nn.Module, folder: Path, suffix: str = ".pth") -> Path:
    file = folder / f"weights{suffix}"
    save_file(network.state_dict(), file) if suffix == ".safetensors" else torch.save(network.state_dict(), file)
    return file


def loaded(file: Path, scale: int) -> Spandrel:
    network = Spandrel(scale)
    load_weights(network, network_state(read_checkpoint(file)), file)
    return network.eval()


@each_network
@pytest.mark.parametrize("size", [(16, 24), (9, 7), (3, 3)])
def test_image_is_the_one_of_the_library(library: Any, name: str, size: tuple[int, int], tmp_path: Path) -> None:
    make, scale = NETWORKS[name]
    file = saved(make(), tmp_path, ".safetensors" if name == "compact" else ".pth")
    image = torch.rand(2, 3, *size)
    theirs = library.ModelLoader().load_from_file(file)
    expected = torch.cat([theirs(one[None].clone()) for one in image])
    with torch.no_grad():
        sr = loaded(file, scale)(image)
    assert sr.shape == (2, 3, scale * size[0], scale * size[1])
    assert expected.std() > 0.01
    assert torch.allclose(sr.clamp(0, 1), expected, atol=1e-5)


def test_gray_network_enlarges_each_colour(library: Any, tmp_path: Path) -> None:
    file = saved(compact(channels=1), tmp_path)
    theirs, image = library.ModelLoader().load_from_file(file), torch.rand(2, 3, 8, 6)
    with torch.no_grad():
        sr = loaded(file, 2)(image)
    for sample in range(2):
        for colour in range(3):
            plane = theirs(image[sample, colour][None, None].clone())
            assert torch.allclose(sr[sample, colour].clamp(0, 1), plane[0, 0], atol=1e-6)


@each_network
def test_every_weight_has_a_gradient_and_nothing_is_left_to_chance(library: Any, name: str, tmp_path: Path) -> None:
    make, scale = NETWORKS[name]
    network, lr = loaded(saved(make(), tmp_path), scale).train(), torch.rand(1, 3, 8, 8)
    sr = network(lr)
    assert torch.equal(network(lr), sr)
    sr.square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # The two neurons of an attention may both be off.
    assert [n for n in without if not n.endswith("bias") and "conv_du" not in n] == []


@each_network
def test_its_own_checkpoint_is_enough(library: Any, name: str, tmp_path: Path) -> None:
    make, scale = NETWORKS[name]
    first = loaded(saved(make(), tmp_path), scale)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.01)
    second = Spandrel(scale)
    names = {f"network.{n}": value for n, value in first.state_dict().items()}
    load_weights(second, network_state({"state_dict": names}), "last.ckpt")
    lr = torch.rand(1, 3, 8, 8)
    assert torch.equal(second.eval()(lr), first.eval()(lr))


# what is refused


def refusal(file: Path | str, state: dict[str, Tensor], scale: int = 4) -> str:
    with pytest.raises(UserError) as error:
        load_weights(Spandrel(scale), state, file)
    return str(error.value)


def test_another_scale_is_named(library: Any) -> None:
    message = refusal("w.pth", compact(scale=2).state_dict())
    assert "w.pth is of a network (RealESRGAN Compact) that enlarges by 2" in message
    assert message.endswith("not of one for scale=4. Add scale=2.")


def test_network_that_does_not_enlarge_is_named(library: Any) -> None:
    message = refusal("w.pth", compact(scale=1).state_dict())
    assert "restores, but does not enlarge, not of one for scale=4." in message


def test_unknown_weights_are_named(library: Any) -> None:
    message = refusal("w.pth", nn.Linear(2, 2).state_dict())
    assert message == "w.pth is of no network that spandrel knows. If it is one of ours, name it: model=NAME."


@each_network
def test_incomplete_weights_are_named(library: Any, name: str) -> None:
    make, scale = NETWORKS[name]
    state = make().state_dict()
    state.pop(sorted(name for name in state if name.endswith("weight"))[-1])
    message = refusal("cut.pth", state, scale)
    assert "cut.pth" in message
    assert "spandrel knows" in message


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)  # as if it were not installed
    message = refusal("w.pth", {"body.0.weight": torch.ones(1)})
    assert message == "model=spandrel needs the library spandrel: pip install 'sr-experiments[spandrel]'."


def test_without_weights_there_is_nothing() -> None:
    network = instantiate(compose_config("train", ["model=spandrel", "scale=2"]).model)
    assert isinstance(network, Spandrel)
    assert network.scale == 2
    with pytest.raises(UserError, match="empty without weights: give weights=FILE, or init_from=FILE"):
        network(torch.rand(1, 3, 4, 4))


def test_an_upsampler_is_refused() -> None:
    config = compose_config("train", ["model=spandrel", "upsampler=transposed"])
    with pytest.raises(Exception, match="upsampler included") as caught:
        instantiate(config.model)
    assert "leave upsampler=... out" in str(find_user_error(caught.value))


def test_training_without_weights_is_refused(tmp_path: Path) -> None:
    given = ["model=spandrel", f"paths.run_folder={tmp_path}", f"paths.cache_dir={tmp_path}", "logger=csv"]
    with pytest.raises(UserError, match=r"Spandrel is the network of its weights: give them, init_from=FILE\."):
        build(compose_config("train", given))


# commands


def train_spandrel(folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    """`sr-train model=spandrel` on tiny crops."""
    options = [option for option in TINY if not option.startswith("model")]
    return run("train", "model=spandrel", *options, f"hydra.run.dir={folder}", *given, cwd=folder.parent)


def test_by_name_and_file(library: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(swinir(), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels)
    given = [str(tmp_path / "a.png"), "--model", "spandrel", "--weights", str(file), "-o", str(tmp_path / "out")]
    assert upscale([*given, "--scale", "2", "--tile", "0"]) == 0
    lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    expected = library.ModelLoader().load_from_file(file)(lr)[0].permute(1, 2, 0) * 255
    assert np.abs(read_image(tmp_path / "out" / "a.png") - expected.numpy()).max() <= 0.51
    assert upscale(given) == 2
    assert "Add scale=2." in capsys.readouterr().err
    assert load_published("spandrel", str(file), 2).scale == 2


@pytest.mark.slow
def test_fine_tuned_evaluated_and_enlarged(library: Any, tmp_path: Path) -> None:
    file = saved(compact(), tmp_path)
    given = ["scale=2", "ema_decay=0.9", f"init_from={file}", "trainer.max_steps=3"]
    done = train_spandrel(tmp_path / "run", *given)
    assert done.returncode == 0, done.stderr
    write_png(tmp_path / "sets" / "Own" / "a.png", np.full((24, 24, 3), 90, np.uint8))
    sets = [f"data.root={tmp_path / 'sets'}", "data.sets=[Own]", "perceptual=off", "trainer.accelerator=cpu"]
    done = run("eval", "model=spandrel", f"weights={file}", "scale=2", *sets, "hydra.run.dir=before", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = json.loads((tmp_path / "before" / "results.json").read_text())
    assert before["parameters"] == sum(p.numel() for p in compact().parameters())
    file.unlink()  # the run knows by itself what it is
    done = run("eval", f"checkpoint={tmp_path / 'run'}", *sets, "hydra.run.dir=after", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = json.loads((tmp_path / "after" / "results.json").read_text())
    assert after["parameters"] == before["parameters"]
    assert after["test"]["Own"]["psnr"] != before["test"]["Own"]["psnr"]
    write_png(tmp_path / "in" / "b.png", np.full((9, 8, 3), 200, np.uint8))
    out = str(tmp_path / "out")
    assert upscale([str(tmp_path / "in"), "--checkpoint", str(tmp_path / "run"), "-o", out]) == 0
    assert read_image(tmp_path / "out" / "b.png").shape == (18, 16, 3)
    assert load_trained(tmp_path / "run").step == 3
