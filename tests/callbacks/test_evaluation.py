"""Scores beside PSNR and SSIM in real runs: per image, per set, by one process and by two."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import lpips as package
import numpy as np
import pytest
import torch
import torchvision

from sr_experiments.data.images import read_image, write_png
from sr_experiments.degradations import Bicubic
from tests.harness import run, train

# Names and sizes of the images of two sets; MS-SSIM needs 176 pixels a side beside the border.
SETS = {"Mixed": {"large": (192, 188), "small": (64, 56), "wide": (96, 200)}, "Small": {"tiny": (56, 64)}}
CHOSEN = ["ms_ssim", "vif", "lr_psnr", "lpips_squeeze", "lpips"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sets and a SqueezeNet of random weights."""
    root = tmp_path_factory.mktemp("scene")
    for name, images in SETS.items():
        (root / "sets" / name).mkdir(parents=True)
        for seed, (image, (height, width)) in enumerate(images.items()):
            coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
            write_png(root / "sets" / name / f"{image}.png", np.kron(coarse, np.ones((4, 4, 1), np.uint8)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), root / "squeeze.pth")
    return root


def overrides(scene: Path) -> list[str]:
    return [
        f"data.root={scene / 'sets'}",
        f"data.sets=[{','.join(SETS)}]",
        f"scores.parts.lpips_squeeze.weights={scene / 'squeeze.pth'}",
        f"scores.parts.lpips.weights={scene / 'absent.pth'}",
        f"scores.test=[{','.join(CHOSEN)}]",
        "perceptual=auto",
    ]


STEPS = ["trainer.max_steps=4", "trainer.val_check_interval=2"]


@pytest.fixture(scope="module")
def finished(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run with scores in its validations, one of them deciding about the best checkpoint; what it said."""
    folder = tmp_path_factory.mktemp("run") / "run"
    more = ["scores.validation=[lpips_squeeze,ms_ssim,lpips]", "callbacks.checkpoints.monitor=val/lpips_squeeze"]
    done = train(folder, *overrides(scene), *STEPS, *more)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())["test"]


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than:UserWarning")
def test_scores_are_those_of_the_saved_images(finished: tuple[Path, str], scene: Path) -> None:
    theirs = package.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    state = torch.load(scene / "squeeze.pth")
    names = {name: name.partition(".")[2] for name in state if name.startswith("features.")}
    slices = dict(theirs.net.named_parameters())
    for name, inner in names.items():
        (matching,) = [key for key in slices if key.partition(".")[2] == inner]
        slices[matching].data.copy_(state[name])

    def image(path: Path) -> torch.Tensor:
        return torch.from_numpy(read_image(path)).permute(2, 0, 1)[None].float() / 255

    folder, _ = finished
    for name, of in results(folder).items():
        for photo, row in of["images"].items():
            sr, hr = image(folder / "images" / name / f"{photo}.png"), image(scene / "sets" / name / f"{photo}.png")
            with torch.no_grad():
                expected = float(theirs(sr, hr, normalize=True))
            assert row["lpips_squeeze"] == pytest.approx(expected, abs=1e-6)
            assert row["lpips_squeeze"] != pytest.approx(row["bicubic_lpips_squeeze"], abs=1e-4)
            mse = float((Bicubic(4)(sr).double() - Bicubic(4)(hr).double()).square().mean())
            assert row["lr_psnr"] == pytest.approx(-10 * np.log10(mse), abs=1e-3)


def test_what_cannot_be_scored_is_null_and_said_once(finished: tuple[Path, str]) -> None:
    folder, said = finished
    test = results(folder)
    assert set(test["Mixed"]["images"]) == set(SETS["Mixed"])
    large, small = test["Mixed"]["images"]["large"], test["Mixed"]["images"]["small"]
    assert small["ms_ssim"] is None
    assert small["bicubic_ms_ssim"] is None
    assert test["Mixed"]["ms_ssim"] == large["ms_ssim"]
    assert test["Mixed"]["bicubic"]["ms_ssim"] == large["bicubic_ms_ssim"]
    assert test["Small"]["ms_ssim"] is None
    for of in test.values():
        assert of["lpips"] is None
        assert of["bicubic"]["lpips"] is None
        assert "absent.pth is not there" in of["unavailable"]["lpips"]
        for name in ("psnr", "vif", "lpips_squeeze"):
            assert of[name] == pytest.approx(np.mean([row[name] for row in of["images"].values()]))
            assert of["bicubic"][name] == pytest.approx(
                np.mean([row[f"bicubic_{name}"] for row in of["images"].values()])
            )
    assert said.count("lpips is unavailable and recorded as null") == 1  # when it is found out
    assert said.count("lpips is unavailable: ") == 1  # below the tables
    assert said.count("MS-SSIM needs") == 1


def test_validations_log_what_they_were_told_to(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    validated = [row for row in rows if row["val/lpips_squeeze"]]
    assert [int(row["step"]) for row in validated] == [2, 4]
    for row in validated:
        both = [float(row[f"val/{name}/lpips_squeeze"]) for name in SETS]
        assert float(row["val/lpips_squeeze"]) == pytest.approx(np.mean(both))
        assert row["val/Mixed/ms_ssim"]
    # What no image of a set has is not in the log; nor is what the validations were not told to take.
    assert not {"val/lpips", "val/Small/ms_ssim", "val/Mixed/lpips", "val/Mixed/vif", "val/ms_ssim"} & set(rows[0])
    test = results(folder)
    assert float(rows[-1]["test/Mixed/vif"]) == pytest.approx(test["Mixed"]["vif"])
    # The test scores the last weights, as the last validation did.
    assert float(validated[-1]["val/Mixed/lpips_squeeze"]) == pytest.approx(test["Mixed"]["lpips_squeeze"], abs=1e-7)
    best = min(float(row["val/lpips_squeeze"]) for row in validated)
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    (kept,) = [value for name, value in state.items() if name.startswith("Checkpoints")]
    assert kept["best_score"] == pytest.approx(best)


def test_an_evaluation_takes_the_same_scores(finished: tuple[Path, str], scene: Path, tmp_path: Path) -> None:
    folder, _ = finished
    given = [f"checkpoint={folder}", f"hydra.run.dir={tmp_path / 'eval'}", "trainer.accelerator=cpu"]
    done = run("eval", *given, *overrides(scene), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = results(tmp_path / "eval"), results(folder)
    for name, of in theirs.items():
        for photo, row in of["images"].items():
            assert ours[name]["images"][photo] == pytest.approx(row, abs=1e-5)


def test_recognition_in_an_evaluation(finished: tuple[Path, str], scene: Path, tmp_path: Path) -> None:
    folder, _ = finished
    squeeze = torchvision.models.squeezenet1_1(weights=None).eval()
    squeeze.load_state_dict(torch.load(scene / "squeeze.pth"))
    prepare = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    guesses = {}
    for image in SETS["Mixed"]:
        pixels = torch.from_numpy(read_image(folder / "images" / "Mixed" / f"{image}.png")).permute(2, 0, 1)[None]
        with torch.no_grad():
            guesses[image] = squeeze(prepare(pixels.float() / 255))[0].argsort(descending=True).tolist()
    right = {"large": guesses["large"][0], "small": guesses["small"][2], "wide": guesses["wide"][9]}
    (tmp_path / "labels.txt").write_text("".join(f"{image}.png {number}\n" for image, number in right.items()))
    part = "scores.parts.top1"
    given = [f"{part}.labels={tmp_path / 'labels.txt'}", f"{part}.architecture=squeezenet1_1"]
    given += [f"{part}.weights={scene / 'squeeze.pth'}", f"checkpoint={folder}", f"hydra.run.dir={tmp_path / 'eval'}"]
    given += [f"data.root={scene / 'sets'}", "data.sets=[Mixed]", "scores=recognition", "scores.test=[top1,top5]"]
    done = run("eval", *given, "perceptual=required", "trainer.accelerator=cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    of = results(tmp_path / "eval")["Mixed"]
    assert {image: (row["top1"], row["top5"]) for image, row in of["images"].items()} == {
        "large": (1, 1), "small": (0, 1), "wide": (0, 0),
    }  # fmt: skip
    assert (of["top1"], of["top5"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_required_weights_stop_the_run_before_it_trains(scene: Path, tmp_path: Path) -> None:
    done = train(tmp_path / "run", *overrides(scene), "perceptual=required")
    assert done.returncode != 0
    assert "perceptual=required, but lpips is unavailable" in done.stderr
    assert not (tmp_path / "run" / "metrics.csv").exists()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["status"] == "failed"


def test_without_perceptual_scores(scene: Path, tmp_path: Path) -> None:
    done = train(tmp_path / "run", *overrides(scene), *STEPS, "perceptual=off", "scores.validation=[lpips,lr_psnr]")
    assert done.returncode == 0, done.stderr
    assert set(results(tmp_path / "run")["Small"]) == {"psnr", "ssim", "ms_ssim", "vif", "lr_psnr", "bicubic", "images"}
    (header, *_) = csv.reader((tmp_path / "run" / "metrics.csv").open())
    assert "val/lr_psnr" in header
    assert "lpips" not in " ".join(header)


def test_consistency_is_logged_once_in_a_game(scene: Path, tmp_path: Path) -> None:
    game = ["loss=srgan_mse", "loss.adversarial.discriminator.channels=4", "loss.adversarial.discriminator.hidden=8"]
    game += ["data.crop_size=32", "scores.validation=[lr_psnr]", "scores.test=[]", "trainer.val_check_interval=2"]
    done = train(tmp_path / "run", *overrides(scene), *game, "trainer.max_steps=2")
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in csv.DictReader((tmp_path / "run" / "metrics.csv").open()) if row["val/lr_psnr"]]
    assert row["val/d_accuracy_fake"]
    # The game's own watch would take the mean over images, whatever their set.
    both = [float(row[f"val/{name}/lr_psnr"]) for name in SETS]
    assert both[0] != pytest.approx(both[1], abs=1e-3)
    assert float(row["val/lr_psnr"]) == pytest.approx(np.mean(both))


@pytest.mark.slow
def test_two_processes_measure_what_one_does(finished: tuple[Path, str], scene: Path, tmp_path: Path) -> None:
    folder, _ = finished
    one = [
        "checkpoint=" + str(folder),
        *overrides(scene),
        "trainer.accelerator=cpu",
        f"hydra.run.dir={tmp_path / 'two'}",
    ]
    done = run("eval", *one, "trainer.devices=2", "trainer.strategy=ddp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("lpips is unavailable") <= 3
    ours, theirs = results(tmp_path / "two"), results(folder)
    for name, of in theirs.items():
        assert list(ours[name]["images"]) == list(of["images"])
        for photo, row in of["images"].items():
            assert ours[name]["images"][photo] == pytest.approx(row, abs=1e-5)
        for metric in ("psnr", "vif", "ms_ssim", "lpips_squeeze", "lpips"):
            assert ours[name][metric] == pytest.approx(of[metric], abs=1e-5)


# Averages of 16 cells of a patch, in the place of InceptionV3.
AVERAGES = (
    "{_target_:torch.nn.Sequential,_args_:["
    "{_target_:torchvision.transforms.ConvertImageDtype,dtype:{_target_:hydra.utils.get_object,path:torch.float32}},"
    "{_target_:torch.nn.AdaptiveAvgPool2d,output_size:4},{_target_:torch.nn.Flatten}]}"
)


@pytest.mark.slow
def test_scores_of_a_set_are_those_of_all_its_patches_however_many_processes(
    finished: tuple[Path, str], scene: Path, tmp_path: Path
) -> None:
    folder, _ = finished
    chosen = [f"+scores.parts.{name}.network={AVERAGES}" for name in ("fid", "kid")]
    chosen += ["scores.test=[fid,kid,niqe]", f"scores.parts.niqe.weights={tmp_path / 'absent.mat'}"]
    chosen += ["scores.parts.fid.patch=24", f"checkpoint={folder}", "trainer.accelerator=cpu"]
    found = []
    for name, more in (("one", []), ("two", ["trainer.devices=2", "trainer.strategy=ddp"])):
        given = [*overrides(scene), *chosen, *more, f"hydra.run.dir={tmp_path / name}"]
        done = run("eval", *given, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(results(tmp_path / name))
        assert "niqe is unavailable: " in done.stdout
    one, two = found
    for name, images in SETS.items():
        piles = []
        for root in (folder / "images", scene / "sets"):
            pile = []
            for image in sorted(images):
                pixels = torch.from_numpy(read_image(root / name / f"{image}.png")).permute(2, 0, 1).double() / 255
                for start in (0, 12):
                    height, width = (side // 24 - (start > 0) for side in pixels.shape[1:])
                    corners = [(start + 24 * y, start + 24 * x) for y in range(height) for x in range(width)]
                    pile += [
                        pixels[:, y : y + 24, x : x + 24].reshape(3, 4, 6, 4, 6).mean((2, 4)).flatten().numpy()
                        for y, x in corners
                    ]
            piles.append(np.stack(pile))
        differences = ((piles[0].mean(0) - piles[1].mean(0)) ** 2).sum()
        covariances = [np.cov(pile.T) for pile in piles]
        values, vectors = np.linalg.eigh(covariances[0])
        root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
        products = np.linalg.eigvalsh(root @ covariances[1] @ root).clip(min=0)
        spread = sum(np.trace(of) for of in covariances) - 2 * np.sqrt(products).sum()
        assert one[name]["fid"] == pytest.approx(differences + spread, rel=1e-3)
        for metric in ("fid", "kid"):
            assert two[name][metric] == pytest.approx(one[name][metric], rel=1e-6)
            assert one[name]["images"][min(images)][metric] is None
        assert one[name]["bicubic"]["fid"] != pytest.approx(one[name]["fid"], rel=1e-3)
        assert one[name]["niqe"] is two[name]["niqe"] is None
        assert "absent.mat is not there" in one[name]["unavailable"]["niqe"]


def test_a_validation_logs_scores_of_a_set(scene: Path, tmp_path: Path) -> None:
    chosen = [f"+scores.parts.fid.network={AVERAGES}", "scores.validation=[fid]", "scores.test=[fid]"]
    done = train(tmp_path / "run", *overrides(scene), *STEPS, *chosen, "scores.parts.fid.patch=24")
    assert done.returncode == 0, done.stderr
    rows = [row for row in csv.DictReader((tmp_path / "run" / "metrics.csv").open()) if row["val/fid"]]
    assert [int(row["step"]) for row in rows] == [2, 4]
    of = results(tmp_path / "run")
    for name in SETS:
        assert float(rows[-1][f"val/{name}/fid"]) == pytest.approx(of[name]["fid"], rel=1e-5)
    assert float(rows[-1]["val/fid"]) == pytest.approx(np.mean([of[name]["fid"] for name in SETS]), rel=1e-5)
