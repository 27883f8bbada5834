"""`sr-upscale` on real files, with the checkpoint of a real run; and what it refuses to open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image

from sr_experiments.app.trained import load_trained
from sr_experiments.commands.upscale import main
from sr_experiments.data.images import read_image
from tests.harness import run
from tests.models.published import EDSRPyTorch

Say = Callable[[], str]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps."""
    folder = tmp_path_factory.mktemp("upscale")
    overrides = [
        "model=edsr_baseline",
        "debug=fast",
        "data.num_workers=0",
        "logger=csv",
        f"paths.cache_dir={folder / 'cache'}",
    ]
    overrides += [f"hydra.run.dir={folder / 'run'}", "trainer.accelerator=cpu"]
    run("train", *overrides, cwd=folder).check_returncode()
    return folder / "run"


@pytest.fixture
def own_run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(run_folder, tmp_path / "own_run"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "in" / "photo.png", pixels(21, 30))


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


def pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth picture with some noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(rows / (5 + k)) * np.cos(columns / (7 - k)) for k in range(3)]
    return (np.stack(waves, axis=-1) + random.normal(0, 5, (height, width, 3))).clip(0, 255).astype(np.uint8)


def save(path: Path, array: NDArray[np.uint8], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def load(path: Path) -> NDArray[np.uint8]:
    image = Image.open(path)
    assert image.format == "PNG"
    assert image.mode == "RGB"
    return np.asarray(image)


def direct(checkpoint: Path, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the network makes of a picture, without tiles."""
    network = load_trained(checkpoint).network
    with torch.no_grad():
        sr = network(torch.from_numpy(array / 255.0).float().permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    return np.floor(sr.double().clamp(0, 1).numpy() * 255 + 0.5).astype(np.uint8)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def process(
    *arguments: str | Path, code: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    if code is None:
        return run("upscale", *words, cwd=cwd or Path.cwd())
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=cwd)


# what it makes


def test_the_command_enlarges_a_file(run_folder: Path, photo: Path, tmp_path: Path) -> None:
    done = process(photo, "--checkpoint", run_folder, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 image x4 -> {tmp_path / 'out'}" in done.stdout
    assert difference(load(tmp_path / "out" / "photo.png"), direct(run_folder, load(photo))) <= 1


def test_folders_keep_their_shape(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, single = tmp_path / "in", tmp_path / "single.jpg"
    save(source / "a.png", pixels(9, 12, 1))
    save(source / "deep" / "er" / "b.bmp", pixels(12, 9, 2))
    save(single, pixels(8, 8, 3), quality=95)
    (source / "notes.txt").write_text("not an image, and not asked for")
    out = tmp_path / "new" / "out"
    assert main([str(source), str(single), "--checkpoint", str(run_folder), "-o", str(out)]) == 0
    found = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
    assert found == ["a.png", str(Path("deep") / "er" / "b.png"), "single.png"]
    assert load(out / "a.png").shape == (36, 48, 3)
    assert load(out / "deep" / "er" / "b.png").shape == (48, 36, 3)
    assert "3 images x4" in capsys.readouterr().out


def test_gray_alpha_palette_and_rotated_inputs(run_folder: Path, tmp_path: Path) -> None:
    source, out, colours = tmp_path / "in", tmp_path / "out", pixels(10, 14)
    save(source / "gray.png", colours[..., 0])
    opaque = np.full((10, 14, 1), 255, np.uint8)
    save(source / "opaque.png", np.concatenate([colours, opaque], axis=-1))
    save(source / "clear.png", np.concatenate([colours, 0 * opaque], axis=-1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    save(source / "turned.png", colours, exif=exif)
    assert main([str(source), "--checkpoint", str(run_folder), "-o", str(out)]) == 0
    expected = {
        "gray": np.repeat(colours[..., :1], 3, axis=-1),
        "opaque": colours,
        "clear": np.full_like(colours, 255),
        "turned": np.rot90(colours, -1).copy(),
    }
    for name, picture in expected.items():
        assert difference(load(out / f"{name}.png"), direct(run_folder, picture)) <= 1, name


@pytest.mark.parametrize("tile", [0, 7, 16, 30])
def test_tiles_leave_no_trace(run_folder: Path, photo: Path, tmp_path: Path, tile: int) -> None:
    arguments = [str(photo), "--checkpoint", str(run_folder), "-o", str(tmp_path), "--tile", str(tile)]
    assert main(arguments) == 0
    assert difference(load(tmp_path / "photo.png"), direct(run_folder, load(photo))) <= 1


def test_ensemble_is_the_mean_of_eight(run_folder: Path, photo: Path, tmp_path: Path) -> None:
    assert main([str(photo), "--checkpoint", str(run_folder), "-o", str(tmp_path), "--ensemble"]) == 0
    network = load_trained(run_folder).network
    lr, total = load(photo).transpose(2, 0, 1)[None] / np.float32(255), 0.0
    for flipped in (False, True):
        for turns in range(4):
            x = np.rot90(lr[..., ::-1] if flipped else lr, turns, (-2, -1)).copy()
            with torch.no_grad():
                sr = np.rot90(network(torch.from_numpy(x)).numpy(), -turns, (-2, -1))
            total = total + (sr[..., ::-1] if flipped else sr)
    expected = np.floor((total[0] / 8).clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    result = load(tmp_path / "photo.png")
    assert difference(result, expected) <= 1
    assert difference(result, direct(run_folder, load(photo))) > 1


def test_a_checkpoint_file_works_inside_and_far_from_its_run(run_folder: Path, photo: Path, tmp_path: Path) -> None:
    inside = run_folder / "checkpoints" / "last.ckpt"
    moved = tmp_path / "elsewhere" / "mine.ckpt"
    moved.parent.mkdir()
    shutil.copy(inside, moved)
    results = []
    for number, checkpoint in enumerate((run_folder, inside, moved)):
        out = tmp_path / str(number)
        assert main([str(photo), "--checkpoint", str(checkpoint), "-o", str(out)]) == 0
        results.append(load(out / "photo.png"))
    assert all(np.array_equal(results[0], result) for result in results[1:])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read the peak memory of a process")
def test_memory_is_bounded_by_the_tile(tmp_path: Path) -> None:
    """A 3000x2000 photograph through a tiny network: the picture and the result, but no feature maps of that size."""
    config = {
        "scale": 2,
        "model": {
            "_target_": "sr_experiments.models.edsr.EDSR",
            "scale": 2,
            "upsampler": {"_target_": "sr_experiments.upsamplers.SubPixel", "_partial_": True},
            "features": 4,
            "blocks": 1,
        },
        "degradation": {"_target_": "sr_experiments.degradations.Bicubic", "scale": 2},
    }
    from hydra.utils import instantiate

    network = instantiate(config["model"])
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "config": config}, tmp_path / "tiny.ckpt")
    save(tmp_path / "small.png", np.full((64, 64, 3), 90, np.uint8))
    save(tmp_path / "large.png", np.tile(np.arange(250, dtype=np.uint8)[:, None, None], (8, 3000, 3)))
    code = """
        import re, sys
        from pathlib import Path
        from sr_experiments.commands.upscale import main

        for name in ("small.png", "large.png"):
            assert main([name, *sys.argv[1:]]) == 0
            print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    """
    arguments = ["--checkpoint", "tiny.ckpt", "-o", "out", "--tile", "256", "--device", "cpu"]
    done = process(*arguments, code=textwrap.dedent(code), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    base, large = (int(line.split()[1]) / 1024 for line in done.stdout.splitlines() if line.startswith("peak"))
    assert Image.open(tmp_path / "out" / "large.png").size == (6000, 4000)
    # 17 MiB of input and 69 MiB of output, held twice while files are read and written. Feature maps of the whole
    # picture would add 366 MiB for every four channels.
    assert large - base < 300


# what it refuses


def test_no_checkpoint(photo: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "There is no checkpoint" in refused(photo, "--checkpoint", tmp_path / "no.ckpt", "-o", tmp_path / "out")
    message = refused(photo, "--checkpoint", tmp_path, "-o", tmp_path / "out")
    assert f"{tmp_path} is not a run folder with a checkpoint" in message
    assert not (tmp_path / "out").exists()


def test_missing_input_is_named(run_folder: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "gone.png" in refused(tmp_path / "gone.png", "--checkpoint", run_folder, "-o", tmp_path / "out")


def test_empty_folder_is_named(run_folder: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(tmp_path / "empty", "--checkpoint", run_folder, "-o", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_what_is_no_image_is_named(
    run_folder: Path, tmp_path: Path, refused: Callable[..., str], content: bytes
) -> None:
    (tmp_path / "fake.png").write_bytes(content)
    assert "fake.png" in refused(tmp_path / "fake.png", "--checkpoint", run_folder, "-o", tmp_path / "out")
    assert not (tmp_path / "out" / "fake.png").exists()


def test_a_cut_off_image_is_named_and_the_others_are_kept(
    run_folder: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    cut = photo.with_name("zz_cut.png")
    cut.write_bytes(photo.read_bytes()[:700])
    assert "zz_cut.png" in refused(photo.parent, "--checkpoint", run_folder, "-o", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["photo.png"]


def test_two_inputs_for_one_result_are_refused(run_folder: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    first, second = tmp_path / "a" / "x.png", tmp_path / "b" / "x.jpg"
    save(first, pixels(8, 8))
    save(second, pixels(8, 8))
    message = refused(first, second, "--checkpoint", run_folder, "-o", tmp_path / "out")
    assert f"{first} and {second} would both become {tmp_path / 'out' / 'x.png'}" in message
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_overwritten(
    run_folder: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert "would replace the input" in refused(photo, "--checkpoint", run_folder, "-o", photo.parent)
    # Also where the result of one input falls on another.
    sibling = save(photo.parent / "out" / "photo.png", pixels(8, 8, 5))
    before = photo.read_bytes(), sibling.read_bytes()
    message = refused(photo.parent, "--checkpoint", run_folder, "-o", sibling.parent)
    assert f"would replace the input {sibling}" in message
    assert (photo.read_bytes(), sibling.read_bytes()) == before


def test_an_output_that_is_a_file_is_refused(
    run_folder: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "out").write_text("precious")
    assert "out" in refused(photo, "--checkpoint", run_folder, "-o", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tile", "-3"], "--tile -3 must not be negative"),
        (["--device", "abacus"], "--device abacus cannot be used here"),
        (["--device", "cuda:99"], "--device cuda:99 cannot be used here"),
    ],
)
def test_wrong_options_are_named(
    run_folder: Path, photo: Path, tmp_path: Path, refused: Callable[..., str], options: list[str], message: str
) -> None:
    assert message in refused(photo, "--checkpoint", run_folder, "-o", tmp_path / "out", *options)


@pytest.mark.parametrize("arguments", [[], ["x.png"], ["x.png", "--checkpoint", "y"], ["--tile", "many"]])
def test_incomplete_command_lines_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: sr-upscale" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip after all", b"\x80\x02}q\x00"])
def test_what_is_no_checkpoint_is_named(
    photo: Path, tmp_path: Path, refused: Callable[..., str], content: bytes
) -> None:
    (tmp_path / "fake.ckpt").write_bytes(content)
    message = refused(photo, "--checkpoint", tmp_path / "fake.ckpt", "-o", tmp_path / "out")
    assert "fake.ckpt is not a checkpoint" in message


def test_a_cut_off_checkpoint_is_named(own_run: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    file = own_run / "checkpoints" / "last.ckpt"
    file.write_bytes(file.read_bytes()[:-2000])
    assert "last.ckpt is not a checkpoint" in refused(photo, "--checkpoint", own_run, "-o", tmp_path / "out")


def test_weights_of_another_network_are_named(
    own_run: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    change(own_run, "model.features", 4)
    assert "does not fit EDSR" in refused(photo, "--checkpoint", own_run, "-o", tmp_path / "out")


# networks by name


def test_published_weights_by_name(photo: Path, tmp_path: Path) -> None:
    """The file of a public toolbox, in its layout and for images in [0, 255]."""
    torch.manual_seed(0)
    theirs = EDSRPyTorch(2, blocks=1, factor=1)
    torch.save(theirs.state_dict(), tmp_path / "edsr.pt")
    given = [str(photo), "--model", "edsr_baseline", "--weights", str(tmp_path / "edsr.pt"), "--scale", "2"]
    options = [f"--option=model.{name}" for name in ("features=4", "blocks=1")]
    assert main([*given, *options, "-o", str(tmp_path / "out")]) == 0
    lr = torch.from_numpy(read_image(photo)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = theirs(lr).clamp(0, 1)[0].permute(1, 2, 0) * 255
    assert np.abs(read_image(tmp_path / "out" / "photo.png") - expected.numpy()).max() <= 0.51


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Say with what: --checkpoint RUN_OR_CKPT, or --model NAME --weights FILE"),
        (["--model", "edsr"], "Say with what"),
        (["--weights", "w.pth"], "Say with what"),
        (["--model", "edsr", "--weights", "nowhere.pth", "--checkpoint", "x"], "A checkpoint knows its network"),
        (["--weights", "w.pth", "--checkpoint", "x"], "A checkpoint knows its network"),
        (["--model", "small", "--weights", "nowhere.pth"], "There is no checkpoint nowhere.pth"),
        (["--model", "edsr_basline", "--weights", "w.pth"], "edsr_baseline"),
        (["--model", "small", "--weights", "w.pth", "--option", "model.depth=3"], "no key model.depth"),
        (
            ["--model", "small", "--weights", "w.pth", "--option", "model.blocks=many"],
            "model.blocks=many is of",
        ),
        (["--model", "lapsrn", "--weights", "w.pth", "--scale", "3"], "cannot enlarge by scale=3"),
    ],
)
def test_unclear_networks_by_name_are_refused(
    photo: Path, tmp_path: Path, refused: Callable[..., str], options: list[str], message: str
) -> None:
    assert message in refused(photo, "-o", tmp_path / "out", *options)


def test_bare_weights_do_not_say_their_network(photo: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "bare.pth")
    message = refused(photo, "--checkpoint", tmp_path / "bare.pth", "-o", tmp_path / "out")
    assert "does not say which network it belongs to" in message


def test_a_damaged_run_config_is_named(own_run: Path, photo: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    for text in ("model: [", "just text", "scale: 4", "model: ${nothing}\nscale: 4\ndegradation: {}"):
        (own_run / ".hydra" / "config.yaml").write_text(text)
        assert "config.yaml, cannot be read" in refused(photo, "--checkpoint", own_run, "-o", tmp_path / "out")


# what it must not run


class Hostile:
    """Pickled, it asks the reader to make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


def change(run: Path, key: str, value: Any) -> None:
    """Change the config that lies in a run folder."""
    file = run / ".hydra" / "config.yaml"
    config = OmegaConf.load(file)
    OmegaConf.update(config, key, value, merge=False)
    OmegaConf.save(config, file)


def carry(checkpoint: Path, change_model: Callable[[dict[str, Any]], Any], target: Path) -> Path:
    """A checkpoint without a run folder, whose own config was changed."""
    content = torch.load(checkpoint, weights_only=True)
    change_model(content["config"]["model"])
    torch.save(content, target)
    return target


def test_pickled_code_is_refused_and_does_not_run(own_run: Path, photo: Path, tmp_path: Path) -> None:
    mark, file = tmp_path / "it_ran", own_run / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    torch.save({**content, "extra": Hostile(mark)}, file)
    done = process(photo, "--checkpoint", own_run, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "last.ckpt holds pickled Python objects" in done.stderr
    assert "Traceback" not in done.stderr
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def calls(mark: Path) -> dict[str, dict[str, Any]]:
    """Configs of calls, each of which would leave `mark` behind, or reach out for code."""
    source = str(Path(__file__))
    return {
        "os.system": {"_target_": "os.system", "_args_": [f"touch '{mark}'"]},
        "subprocess.Popen": {"_target_": "subprocess.Popen", "_args_": [["touch", str(mark)]]},
        "shutil.copy": {"_target_": "shutil.copy", "_args_": [source, str(mark)]},
        "torch.hub.load": {
            "_target_": "torch.hub.load",
            "repo_or_dir": str(mark.parent / "hub"),
            "model": "evil",
            "source": "local",
        },
        "sr_experiments.runs.results.write_results": {
            "_target_": "sr_experiments.runs.results.write_results",
            "folder": str(mark),
            "results": {},
        },
        "torch.nn.Identity": {"_target_": "torch.nn.Identity"},
    }


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What a call leaves behind that must not happen."""
    mark = tmp_path / "it_ran"
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "hubconf.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef evil(): return None\n")
    return mark


@pytest.mark.parametrize("where", ["model", "model.upsampler", "model.nested.deep", "degradation"])
@pytest.mark.parametrize("name", list(calls(Path("mark"))))
def test_foreign_parts_in_a_run_config_are_refused_and_do_not_run(
    own_run: Path, photo: Path, mark: Path, refused: Callable[..., str], name: str, where: str
) -> None:
    change(own_run, where, calls(mark)[name])
    message = refused(photo, "--checkpoint", own_run, "-o", mark.parent / "out")
    assert f"config.yaml names {name!r} at {where}" in message
    assert "nothing was run" in message
    assert not mark.exists()


@pytest.mark.parametrize("name", ["os.system", "shutil.copy", "torch.hub.load"])
def test_foreign_parts_that_a_checkpoint_carries_are_refused(
    run_folder: Path, photo: Path, mark: Path, refused: Callable[..., str], name: str
) -> None:
    call = calls(mark)[name]
    file = run_folder / "checkpoints" / "last.ckpt"
    moved = carry(file, lambda model: model.update(upsampler=call), mark.with_name("moved.ckpt"))
    assert f"names {name!r}" in refused(photo, "--checkpoint", moved, "-o", mark.parent / "out")
    assert not mark.exists()


def hidden(mark: Path) -> dict[str, Any]:
    """Ways to hide a call from a reader that looks for mappings in lists and mappings only."""
    inside = f"{{_target_:shutil.copy,_args_:['{Path(__file__)}','{mark}']}}"
    return {
        "tuple": (calls(mark)["shutil.copy"],),
        "interpolation": f"${{oc.create:{inside}}}",
        "escaped": f"\\${{oc.create:{inside}}}",
        "text": f'${{oc.decode:"{inside}"}}',
    }


@pytest.mark.parametrize("way", list(hidden(Path("mark"))))
def test_hidden_parts_that_a_checkpoint_carries_are_refused(
    run_folder: Path, photo: Path, mark: Path, refused: Callable[..., str], way: str
) -> None:
    file = run_folder / "checkpoints" / "last.ckpt"
    moved = carry(file, lambda model: model.update(upsampler=hidden(mark)[way]), mark.with_name("moved.ckpt"))
    refused(photo, "--checkpoint", moved, "-o", mark.parent / "out")
    assert not mark.exists()


@pytest.mark.parametrize("way", ["interpolation", "escaped", "text"])
def test_hidden_parts_in_a_run_config_are_refused(
    own_run: Path, photo: Path, mark: Path, refused: Callable[..., str], way: str
) -> None:
    change(own_run, "model.upsampler", hidden(mark)[way])
    refused(photo, "--checkpoint", own_run, "-o", mark.parent / "out")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_target_", ["os.system"]),
        ("_target_", {"a": 1}),
        ("_target_", None),
        ("features", "many"),
        ("colour", "blue"),
        ("upsampler", 3),
        ("upsampler", None),
    ],
)
def test_a_config_that_makes_no_network_is_refused(
    own_run: Path, photo: Path, tmp_path: Path, refused: Callable[..., str], key: str, value: Any
) -> None:
    change(own_run, f"model.{key}", value)
    refused(photo, "--checkpoint", own_run, "-o", tmp_path / "out")


def test_a_part_of_ones_own_is_allowed_by_name(
    own_run: Path, photo: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        from pathlib import Path

        Path(__file__).with_name("imported").touch()

        from sr_experiments.models.edsr import EDSR


        class Mine(EDSR):
            pass
    """
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_own_network.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    change(own_run, "model._target_", "my_own_network.Mine")
    arguments = [photo, "--checkpoint", own_run, "-o", tmp_path / "out"]
    assert "--trust NAME" in refused(*arguments)
    assert "names 'my_own_network.Mine'" in refused(*arguments, "--trust", "my_own_network.Other")
    assert not (tmp_path / "code" / "imported").exists()
    assert main([*map(str, arguments), "--trust", "my_own_network.Mine"]) == 0
    assert (tmp_path / "out" / "photo.png").is_file()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.blocks", 1_000_000_000, "far more than the file holds"),
        ("model.features", 6_000, "weights, far more than the file holds"),
        ("scale", True, "scale is True"),
        ("scale", 0, "scale is 0"),
        ("scale", 100_000, "scale is 100000"),
        ("model.features", "${oc.env:SECRET}", "no plain reference"),
        ("degradation._args_", ["x"], "_args_ at degradation"),
    ],
)
def test_what_a_config_asks_for_is_bounded(
    own_run: Path,
    photo: Path,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    value: Any,
    message: str,
) -> None:
    monkeypatch.setenv("SECRET", "my-token")
    change(own_run, key, value)
    said = refused(photo, "--checkpoint", own_run, "-o", photo.parent / "out")
    assert message in said
    assert "my-token" not in said
