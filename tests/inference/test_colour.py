"""Networks of one channel: trained on luma, evaluated in colour with bicubic chroma, as their papers did."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from skimage.color import rgb2ycbcr, ycbcr2rgb
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.data.sample import test_photographs as sample_photographs
from sr_experiments.degradations import Bicubic, BlurNoise, bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.inference.colour import check_loss, in_colour, to_luma, with_luma
from sr_experiments.inference.enlarger import Enlarger
from sr_experiments.losses import L1, LPIPS, MSE, FeatureNetwork, LRConsistency, Texture, WeightedSum
from sr_experiments.models.fsrcnn import FSRCNN
from sr_experiments.models.srcnn import SRCNN
from sr_experiments.objectives import Vanilla
from sr_experiments.training.game import Game
from sr_experiments.training.play import Play
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.upsamplers import Interpolation, Transposed
from tests.harness import run, train
from tests.training.parts import supervised

LUMA = ["model.channels=1", "loss=mse"]


def fsrcnn(scale: int = 2) -> FSRCNN:
    """A network that makes gray images with some texture."""
    torch.manual_seed(0)
    network = FSRCNN(scale, partial(Transposed, kernel=9, single_step=True), channels=1, features=6, shrunk=3)
    last = next(layer for layer in network.upsample.modules() if isinstance(layer, nn.ConvTranspose2d))
    nn.init.normal_(last.weight, std=0.02)
    nn.init.constant_(last.bias, 0.5)  # type: ignore[arg-type]
    return network.eval()


def identity() -> SRCNN:
    """SRCNN with the weights of one that leaves the bicubic enlargement, of one channel, as it is."""
    network = SRCNN(2, Interpolation, channels=1, features=(2, 2))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            layer.weight.data[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
    return network


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    """(1, 3, H, W) on 8-bit levels, of colours that no conversion takes out of range."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(90, 160, (1, 3, height, width), generator=generator) / 255


def ycbcr(image: Tensor) -> np.ndarray[Any, Any]:
    """Y, Cb and Cr of (1, 3, H, W), (H, W, 3) on the scale 0..255, by scikit-image."""
    return rgb2ycbcr(image[0].permute(1, 2, 0).double().numpy())


# the picture


def test_luma_is_that_of_scikit_image() -> None:
    image = picture(9, 7)
    assert to_luma(image)[0, 0].numpy() * 255 == pytest.approx(ycbcr(image)[..., 0], abs=1e-4)


def test_another_luma_leaves_the_chroma_alone() -> None:
    image = picture(9, 7)
    y = to_luma(image) + 0.1 * torch.rand(1, 1, 9, 7)
    merged = with_luma(image, y)
    torch.testing.assert_close(to_luma(merged), y, atol=1e-6, rtol=0)
    assert ycbcr(merged)[..., 1:] == pytest.approx(ycbcr(image)[..., 1:], abs=1e-4)


def test_the_network_makes_the_luma_and_bicubic_the_chroma() -> None:
    network, lr = fsrcnn(3), picture(11, 13)
    planes = torch.from_numpy(ycbcr(lr)).permute(2, 0, 1)[None]
    with torch.no_grad():
        sr = in_colour(network)(lr)
        y = network(planes[:, :1].float() / 255).double() * 255
    chroma = bicubic_upsample(planes[:, 1:], scale=3)
    expected = ycbcr2rgb(torch.cat([y, chroma], dim=1)[0].permute(1, 2, 0).numpy())
    assert sr.shape == (1, 3, 33, 39)
    assert sr[0].permute(1, 2, 0).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_network_on_rgb_stays_as_it_is() -> None:
    network = FSRCNN(2, partial(Transposed, kernel=9, single_step=True), features=4, shrunk=2, layers=1)
    assert in_colour(network) is network
    plain = nn.Conv2d(3, 3, 1)
    assert in_colour(plain) is plain


SINGLE_CHANNEL = ["srcnn", "fsrcnn", "espcn", "vdsr", "drcn", "drrn", "memnet", "srdensenet", "lapsrn", "ms_lapsrn"]


@pytest.mark.parametrize("model", [*SINGLE_CHANNEL, "dsrn", "small", "srresnet", "msrresnet", "edsr_baseline", "carn"])
def test_models_enlarge_colours_by_their_luma(model: str) -> None:
    config = compose_config("train", [f"model={model}", "model.channels=1", "scale=4"])
    network = instantiate(config.model).eval()
    lr = picture(8, 8)
    with torch.no_grad():
        sr = in_colour(network)(lr)
        y = network(to_luma(lr))
    assert y.shape == (1, 1, 32, 32)
    assert sr.shape == (1, 3, 32, 32)
    torch.testing.assert_close(to_luma(sr), y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ensemble", [False, True])
def test_tiles_and_flips_keep_the_colours(ensemble: bool) -> None:
    network = fsrcnn(2)
    pixels = np.random.default_rng(0).integers(90, 160, (40, 33, 3)).astype(np.uint8)
    whole = Enlarger(network, 2, tile=0, ensemble=ensemble)(pixels)
    tiled = Enlarger(network, 2, tile=16, ensemble=ensemble)(pixels)
    assert whole.shape == (80, 66, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    bicubic = bicubic_upsample(torch.from_numpy(pixels / 255.0).permute(2, 0, 1)[None].float(), scale=2)
    inside = (whole > 0).all(-1) & (whole < 255).all(-1)  # where nothing was clipped
    assert inside.mean() > 0.5
    chroma = rgb2ycbcr(whole)[..., 1:] - ycbcr(bicubic)[..., 1:]
    assert np.abs(chroma[inside]).max() < 1  # of rounding


# training


def test_the_loss_is_taken_of_luma() -> None:
    network, hr = fsrcnn(), torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    seen: dict[str, Tensor] = {}

    class Peek(MSE):
        def forward(self, sr: Tensor, hr: Tensor, lr: Tensor) -> Tensor:  # type: ignore[override]
            seen.update(sr=sr, hr=hr, lr=lr)
            return super().forward(sr, hr)

    module = supervised(network, Bicubic(2), WeightedSum({"mse": {"weight": 1.0, "term": Peek()}}))
    recipe = module.recipe
    assert isinstance(recipe, Supervised)
    batch = recipe.with_sr(module.stages({"hr": hr}, 0))
    terms = recipe.terms(batch, Play(0))
    y = to_luma(hr.float() / 255)
    y_of_lr = to_luma(Bicubic(2)(hr.float() / 255))
    torch.testing.assert_close(seen["hr"], y)
    torch.testing.assert_close(seen["lr"], y_of_lr)
    torch.testing.assert_close(terms["mse"].value, ((network(y_of_lr) - y) ** 2).mean())
    assert batch["sr"].shape == (3, 1, 16, 16)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on luma."""
    folder = tmp_path_factory.mktemp("luma") / "run"
    done = train(folder, *LUMA, "scale=2", "trainer.max_steps=4", "trainer.val_check_interval=2", "ema_decay=0.5")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_on_luma_leaves_colour_pictures_and_scores(trained: Path) -> None:
    results = json.loads((trained / "results.json").read_text())
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert float(rows[-1]["val/psnr"]) == pytest.approx(results["test"]["sample"]["psnr"])
    made = np.asarray(Image.open(trained / "images" / "sample" / "chelsea.png"))
    assert np.ptp(made.astype(int), axis=-1).max() > 20  # a cat of many colours


def test_the_checkpoint_scores_and_enlarges_alike(trained: Path, tmp_path: Path) -> None:
    done = run("eval", f"checkpoint={trained}", "data=sample", f"hydra.run.dir={tmp_path / 'e'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scored, first = (json.loads((f / "results.json").read_text())["test"] for f in (tmp_path / "e", trained))
    assert scored["sample"]["psnr"] == pytest.approx(first["sample"]["psnr"], abs=1e-4)
    photo = {p.name: p.hr for p in sample_photographs()}["chelsea"]
    hr = torch.from_numpy(np.array(Image.open(photo))).permute(2, 0, 1)[None].float() / 255
    hr = hr[..., : hr.shape[-2] // 2 * 2, : hr.shape[-1] // 2 * 2]
    lr = (Bicubic(2)(hr)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(lr).save(tmp_path / "chelsea.png")
    done = run(
        "upscale", "chelsea.png", "--checkpoint", str(trained), "-o", "out", "--tile", "64", "--device", "cpu",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    enlarged = np.asarray(Image.open(tmp_path / "out" / "chelsea.png")).astype(int)
    assert np.abs(enlarged - np.asarray(Image.open(trained / "images" / "sample" / "chelsea.png"))).max() <= 1


def test_bare_weights_of_one_channel_are_scored(tmp_path: Path) -> None:
    """Weights that change nothing score what bicubic enlargement does."""
    torch.save(identity().state_dict(), tmp_path / "identity.pth")
    done = run(
        "eval", "model=srcnn", "model.channels=1", "model.features=[2,2]", f"weights={tmp_path / 'identity.pth'}",
        "scale=2", "data=sample", "perceptual=off", f"hydra.run.dir={tmp_path / 'e'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for row in json.loads((tmp_path / "e" / "results.json").read_text())["test"]["sample"]["images"].values():
        assert row["psnr"] == pytest.approx(row["bicubic_psnr"], abs=1e-3)
        assert row["ssim"] == pytest.approx(row["bicubic_ssim"], abs=1e-5)


@pytest.mark.slow
def test_resume_on_luma_is_exact(tmp_path: Path) -> None:
    common = [*LUMA, "scale=2", "scheduler=constant", "data.sets=[]"]
    for name, steps in (("whole", 4), ("half", 2)):
        done = train(tmp_path / name, *common, f"trainer.max_steps={steps}")
        assert done.returncode == 0, done.stderr
    done = train(tmp_path / "rest", *common, "trainer.max_steps=4", f"resume={tmp_path / 'half'}")
    assert done.returncode == 0, done.stderr
    whole, rest = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "rest")
    )
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


@pytest.mark.slow
def test_two_processes_train_on_luma_as_one(tmp_path: Path) -> None:
    ends = ["scale=2", "trainer.max_steps=4", "trainer.val_check_interval=2"]
    losses = {}
    for name, extra in (("one", []), ("two", ["trainer=ddp_cpu"])):
        done = train(tmp_path / name, *LUMA, *ends, *extra)
        assert done.returncode == 0, done.stderr
        rows = csv.DictReader((tmp_path / name / "metrics.csv").open())
        losses[name] = [[float(row[key]) for key in ("train/loss", "val/psnr") if row[key]] for row in rows]
    for one, two in zip(losses["one"], losses["two"], strict=True):
        assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_a_network_on_luma_learns_to_beat_bicubic(tmp_path: Path) -> None:
    done = train(
        tmp_path / "run", *LUMA, "model.blocks=4", "model.features=16", "scale=2",
        "data.crop_size=32", "data.batch_size=8", "optimizer.learning_rate=1e-3",
        "trainer.max_steps=600", "trainer.val_check_interval=600", "trainer.log_every_n_steps=100",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sample = json.loads((tmp_path / "run" / "results.json").read_text())["test"]["sample"]
    assert sample["psnr"] > sample["bicubic"]["psnr"] + 0.2


# what is refused


def term(module: nn.Module, weight: float = 1.0) -> dict[str, Any]:
    return {"weight": weight, "term": module}


def test_a_loss_of_pixels_is_taken() -> None:
    check_loss(WeightedSum({"l1": term(L1()), "lpips": term(LPIPS(), weight=0.0)}))


def test_terms_that_look_at_colours_are_refused() -> None:
    features = FeatureNetwork("vgg19", "random")
    loss = WeightedSum({"l1": term(L1()), "texture": term(Texture(layers={"conv1_1": 1.0}))}, features)
    with pytest.raises(UserError, match=r"model.channels=1 .*loss term texture looks at colours.*loss=mse"):
        supervised(fsrcnn(), Bicubic(2), loss)
    supervised(FSRCNN(2, Transposed, features=4, shrunk=2, layers=1), Bicubic(2), loss)
    loss = WeightedSum({"l1": term(L1())})
    loss.terms["lpips"] = LPIPS()  # as where its weights can be had
    loss.accepts["lpips"] = ["sr", "hr"]
    with pytest.raises(UserError, match="loss term lpips looks at colours"):
        check_loss(loss)


def test_noise_that_was_drawn_for_colours_is_refused() -> None:
    """A degradation of luma alone would draw other noise than that of LR."""
    random, plain = (WeightedSum({"cycle": term(LRConsistency(part))}) for part in (BlurNoise(2), Bicubic(2)))
    check_loss(plain)
    with pytest.raises(UserError, match="loss term cycle looks at colours"):
        check_loss(random)


def test_a_discriminator_is_refused() -> None:
    game = Game(discriminator=nn.Identity(), objective=Vanilla(), weight=1.0)
    with pytest.raises(UserError, match="the discriminator looks at colours"):
        check_loss(WeightedSum({"l1": term(L1())}, adversarial=game))


def test_two_channels_are_refused() -> None:
    network = FSRCNN(2, Transposed, channels=2, features=4, shrunk=2, layers=1)
    with pytest.raises(UserError, match=r"model.channels=2 is neither"):
        supervised(network, Bicubic(2))
    with pytest.raises(UserError, match=r"model.channels=2 is neither"):
        Enlarger(network, 2)
