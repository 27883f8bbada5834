"""`sr-upscale --ref` on real files: textures of other pictures, in tiles as in one piece; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from skimage import data
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.trained import load_trained, portable_config
from sr_experiments.commands.upscale import main
from sr_experiments.data.images import read_image
from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.inference.enlarger import Enlarger
from sr_experiments.inputs.textures import Textures
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching import Matching
from sr_experiments.models.srntt import SRNTT
from sr_experiments.upsamplers import SubPixel
from tests.commands.test_upscale import calls, difference, load, pixels, save

TINY = ["model=srntt", "model.features=8", "model.content_blocks=2", "model.blocks=[2,1,1]", "data.num_workers=0"]
TINY += ["feature_network.weights=random", "feature_network.normalise=none"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def srntt(scale: int, **options: Any) -> SRNTT:
    """Small, with statistics as after training, and textures that count."""
    torch.manual_seed(0)
    network = SRNTT(scale, SubPixel, features=8, content_blocks=2, blocks=[2, 1, 1], **options)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.1, 0.5)
        elif isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.7 / (layer.in_channels * layer.kernel_size[0] ** 2) ** 0.5)
    return network.eval()


def write_checkpoint(path: Path, change: Callable[[dict[str, Any]], Any] | None = None, *overrides: str) -> Path:
    """A checkpoint as sr-train writes it, of a network for x4."""
    config = portable_config(compose_config("train", [*TINY, *overrides]))
    if change is not None:
        change(config)
    state = {f"network.{name}": value for name, value in srntt(4).state_dict().items()}
    torch.save({"state_dict": state, "config": config, "global_step": 7}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("srntt") / "srntt.ckpt")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that takes no references."""
    from hydra.utils import instantiate

    config = portable_config(compose_config("train", ["model=small", "model.features=4", "model.blocks=1"]))
    assert "matching" not in config
    state = {f"network.{name}": value for name, value in instantiate(config["model"]).state_dict().items()}
    file = tmp_path_factory.mktemp("plain") / "plain.ckpt"
    torch.save({"state_dict": state, "config": config}, file)
    return file


@pytest.fixture(scope="module")
def matching() -> Matching:
    return Matching(FeatureNetwork(weights="random"), Bicubic(4), 4)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "in" / "photo.png", data.astronaut()[100:121, 180:210].copy())


@pytest.fixture
def refs(tmp_path: Path) -> list[Path]:
    """Three files of different sizes, one of them gray and no multiple of 4."""
    return [
        save(tmp_path / "refs" / "a.png", data.astronaut()[80:140, 160:248].copy()),
        save(tmp_path / "refs" / "b.jpg", data.coffee()[100:132, 200:280].copy(), quality=95),
        save(tmp_path / "refs" / "c.png", data.camera()[100:147, 200:229].copy()),
    ]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command, which must end with exit code 2; its message."""

    def call(*arguments: str | Path) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ")
        assert "Traceback" not in printed.err
        return printed.err

    return call


def upscale(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def tensor(array: NDArray[np.uint8]) -> torch.Tensor:
    array = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return torch.from_numpy(array / 255.0).float().permute(2, 0, 1)


def direct(network: nn.Module, matching: Matching, array: NDArray[np.uint8], refs: list[Any]) -> NDArray[np.uint8]:
    """What the network makes of a picture in one piece, by way of the matching of a batch."""
    with torch.no_grad():
        maps, similarity = matching(tensor(array)[None], [[tensor(ref) for ref in refs]])
        sr = network(tensor(array)[None], maps, similarity)[0].permute(1, 2, 0)
    return np.floor(sr.double().clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8)


# what it makes


def test_a_reference_gives_its_textures(
    checkpoint: Path, matching: Matching, photo: Path, refs: list[Path], tmp_path: Path
) -> None:
    results = []
    for number, ref in enumerate(refs[:2]):
        upscale(photo, "--ref", ref, "--checkpoint", checkpoint, "-o", tmp_path / str(number))
        results.append(load(tmp_path / str(number) / "photo.png"))
        assert difference(results[-1], direct(srntt(4), matching, load(photo), [read_image(ref)])) <= 1
    assert results[0].shape == (84, 120, 3)
    assert difference(*results) > 10


def test_several_references_of_any_sizes_for_a_folder(
    checkpoint: Path, matching: Matching, photo: Path, refs: list[Path], tmp_path: Path
) -> None:
    second = save(photo.with_name("second.png"), data.astronaut()[60:73, 100:117].copy())
    arguments = [word for ref in refs for word in ("--ref", ref)]
    upscale(photo.parent, *arguments, "--checkpoint", checkpoint, "-o", tmp_path / "out")
    read = [read_image(ref) for ref in refs]
    for file in (photo, second):
        expected = direct(srntt(4), matching, load(file), read)
        assert difference(load(tmp_path / "out" / file.name), expected) <= 1
        assert difference(expected, direct(srntt(4), matching, load(file), read[1:])) > 10


def test_without_a_reference_a_picture_is_its_own(
    checkpoint: Path, matching: Matching, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upscale(photo, "--checkpoint", checkpoint, "-o", tmp_path / "out")
    assert "No --ref: every picture is its own reference.\n1 image x4" in capsys.readouterr().out
    assert difference(load(tmp_path / "out" / "photo.png"), direct(srntt(4), matching, load(photo), [])) <= 1


def test_a_run_folder_works_as_well(photo: Path, refs: list[Path], checkpoint: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    for number, source in enumerate((run, checkpoint)):
        upscale(photo, "--ref", refs[0], "--checkpoint", source, "-o", tmp_path / str(number))
    assert np.array_equal(load(tmp_path / "0" / "photo.png"), load(tmp_path / "1" / "photo.png"))


def run_folder(folder: Path) -> Path:
    """A run folder whose checkpoint carries nothing."""
    file = write_checkpoint(folder / "with_config.ckpt")
    content = torch.load(file, weights_only=True)
    (folder / "run" / "checkpoints").mkdir(parents=True)
    (folder / "run" / ".hydra").mkdir()
    torch.save({"state_dict": content["state_dict"]}, folder / "run" / "checkpoints" / "last.ckpt")
    config = compose_config("train", TINY)
    OmegaConf.save(config, folder / "run" / ".hydra" / "config.yaml")
    return folder / "run"


# tiles


def test_tiles_of_the_command_leave_no_trace(checkpoint: Path, photo: Path, refs: list[Path], tmp_path: Path) -> None:
    for tile in ("0", "9"):
        arguments = ["--ref", refs[0], "--ref", refs[1], "--checkpoint", checkpoint, "--tile", tile]
        upscale(photo, *arguments, "-o", tmp_path / tile)
    assert difference(load(tmp_path / "0" / "photo.png"), load(tmp_path / "9" / "photo.png")) <= 1


@pytest.mark.parametrize(("scale", "tiles"), [(2, (5, 12, 27)), (4, (7, 16)), (8, (9,))])
@pytest.mark.parametrize("options", [{}, {"weigh_maps": True, "output": "bicubic"}], ids=["plain", "weighed"])
def test_tiled_equals_untiled_at_every_scale(scale: int, tiles: tuple[int, ...], options: dict[str, Any]) -> None:
    network, matching = srntt(scale, **options), Matching(FeatureNetwork(weights="random"), Bicubic(scale), scale)
    # Odd at x2, where half a cell is left over at the borders.
    picture = data.astronaut()[100:127, 180:213].copy()
    refs = [data.astronaut()[80:146, 160:250].copy(), data.coffee()[100:140, 200:248].copy()]
    match = matching.find(tensor(picture)[None], [tensor(ref) for ref in refs])
    whole = Enlarger(network, scale, tile=0)(picture, {"textures": match})
    assert difference(whole, direct(network, matching, picture, refs)) <= 1
    assert whole.std() > 10
    enlarge = Enlarger(network, scale)
    for tile in tiles:
        enlarge.tile = tile
        assert difference(enlarge(picture, {"textures": match}), whole) <= 1, tile
    # The overlap is what it takes: tiles that do not see each other have seams.
    enlarge.tile, enlarge._overlap = tiles[0], 0
    assert difference(enlarge(picture, {"textures": match}), whole) > 1


def test_the_matching_stays_global(matching: Matching) -> None:
    """A texture is found in a part of the picture itself that the tile does not see."""
    picture = data.astronaut()[100:120, 180:220].copy()
    match = matching.find(tensor(picture)[None], [])
    maps, similarity = Textures().window(match, 0, 25, 12, 15, 4).values()
    whole = match.maps()
    assert torch.equal(maps["relu3_1"], whole["relu3_1"][..., 0:12, 25:40])
    assert torch.equal(maps["relu1_1"], whole["relu1_1"][..., 0:48, 100:160])
    assert torch.equal(similarity, match.similarity[..., 0:12, 25:40])
    alone = matching.find(tensor(picture[0:12, 25:40])[None], [])
    assert not torch.allclose(alone.maps()["relu3_1"], maps["relu3_1"])


# what it refuses


def test_a_network_without_references_refuses_them(
    plain: Path, photo: Path, refs: list[Path], tmp_path: Path, refused: Callable[..., str]
) -> None:
    arguments = [photo, "--checkpoint", plain, "-o", tmp_path / "out"]
    assert "takes no references" in refused(*arguments, "--ref", refs[0])
    message = refused(*arguments, "--feature-weights", "random")
    assert "takes no references, so nothing would read --feature-weights FILE" in message
    assert not (tmp_path / "out").exists()
    assert load_trained(plain).matching is None


def test_a_missing_or_damaged_reference_is_named(
    checkpoint: Path, photo: Path, refs: list[Path], tmp_path: Path, refused: Callable[..., str]
) -> None:
    arguments = [photo, "--checkpoint", checkpoint, "-o", tmp_path / "out", "--ref", refs[0], "--ref"]
    assert "gone.png" in refused(*arguments, tmp_path / "gone.png")
    (tmp_path / "fake.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    assert "fake.jpg" in refused(*arguments, tmp_path / "fake.jpg")
    assert "refs" in refused(*arguments, refs[0].parent)
    assert not (tmp_path / "out").exists()


def test_pictures_that_are_too_small_are_told_their_least_size(
    checkpoint: Path, photo: Path, refs: list[Path], tmp_path: Path, refused: Callable[..., str]
) -> None:
    tiny = save(tmp_path / "tiny.png", pixels(11, 40))
    arguments = ["--checkpoint", checkpoint, "-o", tmp_path / "out"]
    message = refused(photo, *arguments, "--ref", tiny)
    assert "11x40" in message
    assert "12x12" in message
    assert "2x9" in refused(save(tmp_path / "two.png", pixels(2, 9)), *arguments, "--ref", refs[0])


def test_a_reference_is_never_overwritten(
    checkpoint: Path, photo: Path, refs: list[Path], tmp_path: Path, refused: Callable[..., str]
) -> None:
    precious = save(refs[0].parent / "photo.png", pixels(20, 20))
    before = precious.read_bytes()
    message = refused(photo, "--ref", precious, "--checkpoint", checkpoint, "-o", precious.parent)
    assert f"would replace the reference {precious}" in message
    assert precious.read_bytes() == before


def test_an_ensemble_with_references_is_refused(
    checkpoint: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    message = refused(photo, "--checkpoint", checkpoint, "-o", tmp_path / "out", "--ensemble")
    assert "leave the ensemble out" in message


def test_feature_weights_may_lie_elsewhere(
    checkpoint: Path, photo: Path, refs: list[Path], tmp_path: Path, refused: Callable[..., str]
) -> None:
    gone = tmp_path / "gone.safetensors"
    moved = write_checkpoint(tmp_path / "moved.ckpt", None, f"feature_network.weights={gone}")
    arguments = [photo, "--ref", refs[0], "--checkpoint", moved]
    message = refused(*arguments, "-o", tmp_path / "a")
    assert f"{gone} is not there" in message
    assert "In this command that is --feature-weights FILE" in message
    load_trained(moved)  # nothing is read before it is needed
    upscale(*arguments, "-o", tmp_path / "b", "--feature-weights", "random")
    upscale(photo, "--ref", refs[0], "--checkpoint", checkpoint, "-o", tmp_path / "c")
    assert np.array_equal(load(tmp_path / "b" / "photo.png"), load(tmp_path / "c" / "photo.png"))
    other = save(tmp_path / "no_weights.png", pixels(4, 4))
    assert "no_weights.png" in refused(*arguments, "-o", tmp_path / "d", "--feature-weights", other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("matching"), "nothing says how to match them"),
        (lambda config: config.update(matching=None), "nothing says how to match them"),
        (lambda config: config.update(matching=3), "holds 3 where the matching"),
        (lambda config: config.update(matching={"scale": 4}), "describes another part"),
        (lambda config: config["matching"].update(chunk=0), "matching.chunk=0"),
        (lambda config: config["matching"].update(colour="blue"), "cannot be built"),
        (lambda config: config["matching"].update(feature_network=None), "cannot be built"),
        (lambda config: config["matching"].update(scale=2), "its scale is not the network's, 4"),
        (lambda config: config["matching"]["degradation"].update(scale=2), "its scale is not the network's, 4"),
        (lambda config: config["matching"].update(_target_=config["degradation"]["_target_"]), "cannot be built"),
    ],
)
def test_a_config_that_makes_no_matching_is_refused(
    photo: Path, tmp_path: Path, refused: Callable[..., str], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    file = write_checkpoint(tmp_path / "changed.ckpt", change)
    assert message in refused(photo, "--checkpoint", file, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# what it must not run


@pytest.mark.parametrize("where", ["matching", "matching.feature_network", "matching.degradation", "matching.deep"])
@pytest.mark.parametrize("name", ["os.system", "shutil.copy", "torch.hub.load"])
def test_foreign_parts_in_a_matching_are_refused_and_do_not_run(
    photo: Path, tmp_path: Path, refused: Callable[..., str], name: str, where: str
) -> None:
    mark = tmp_path / "it_ran"
    run, call = run_folder(tmp_path), calls(mark)[name]

    def plant(config: dict[str, Any]) -> None:
        parent, _, key = where.rpartition(".")
        (config[parent] if parent else config)[key] = call

    carried = write_checkpoint(tmp_path / "carried.ckpt", plant)
    assert f"names {name!r} at {where}" in refused(photo, "--checkpoint", carried, "-o", tmp_path / "out")
    file = run / ".hydra" / "config.yaml"
    config = OmegaConf.load(file)
    OmegaConf.update(config, where, call, merge=False, force_add=True)
    OmegaConf.save(config, file)
    assert f"names {name!r} at {where}" in refused(photo, "--checkpoint", run, "-o", tmp_path / "out")
    assert not mark.exists()


def test_a_checkpoint_does_not_choose_where_to_write(photo: Path, tmp_path: Path) -> None:
    def plant(config: dict[str, Any]) -> None:
        config["matching"]["cache_dir"] = str(tmp_path / "theirs")
        config["matching"]["feature_network"]["cache_dir"] = str(tmp_path / "theirs")

    file = write_checkpoint(tmp_path / "planted.ckpt", plant)
    upscale(photo, "--checkpoint", file, "-o", tmp_path / "out")
    assert not (tmp_path / "theirs").exists()
    trained = load_trained(file).matching
    assert trained is not None
    assert trained["cache_dir"] is trained["feature_network"]["cache_dir"] is None


def test_an_enlarger_asks_for_the_textures_that_were_not_given() -> None:
    with pytest.raises(UserError, match="SRNTT takes an input 'textures' beside LR"):
        Enlarger(srntt(4), 4)(pixels(20, 20))
