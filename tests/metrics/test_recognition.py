"""Recognition: the right class among the best guesses, labels from a file, and which classifiers are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.errors import UserError
from sr_experiments.losses import LPIPS
from sr_experiments.metrics.recognition import Recognition, backbones_of_loss, backbones_of_run, read_labels
from sr_experiments.metrics.scores import Scores


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = torchvision.models.squeezenet1_1(weights=None).eval()
    path = tmp_path_factory.mktemp("classifier") / "squeeze.pth"
    torch.save(network.state_dict(), path)
    return network, path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("size", [(224, 224), (300, 260)])
def test_the_right_class_among_the_best_guesses(
    size: tuple[int, int], classifier: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    network, weights = classifier
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    if size == (224, 224):  # not cropped and scaled, as torchvision would
        shown = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
            3, 1, 1
        )
    else:
        shown = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()(image)
    with torch.no_grad():
        ranked = network(shown)[0].argsort(descending=True).tolist()
    lines = f"first.JPEG {ranked[0]}\nset/fourth {ranked[3]}\nsixth, {ranked[5]}\n"
    labels = write(tmp_path / "labels.txt", lines)
    before = torch.get_rng_state()
    top1, top5 = (Recognition(labels, guesses, "squeezenet1_1", weights) for guesses in (1, 5))
    assert [float(top1(image, name)) for name in ("first", "set/fourth", "sixth")] == [1, 0, 0]
    assert [float(top5(image, name)) for name in ("first", "set/fourth", "sixth")] == [1, 1, 0]
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(UserError, match="no line for the image seventh"):
        top1(image, "seventh")


def test_labels_that_cannot_be_read(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path / "good.txt", "\na b.png\t3\n  c.d,7 \n")) == {"a b": 3, "c.d": 7}
    with pytest.raises(UserError, match=r"Line 2 of .* is not a name and the number of a class: dog"):
        read_labels(write(tmp_path / "bad.txt", "cat 3\ndog\n"))
    with pytest.raises(UserError, match="no file of labels"):
        Recognition(tmp_path / "absent.txt")


def test_bad_options(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.txt", "cat 3")
    with pytest.raises(UserError, match=r"give scores\.parts\.top1\.labels=FILE"):
        Recognition(None)
    with pytest.raises(UserError, match="guesses=0 must be at least 1"):
        Recognition(labels, 0)
    with pytest.raises(UserError, match="recognises nothing"):
        Recognition(labels, weights="random")
    with pytest.raises(UserError, match="is not one of torchvision's classifiers"):
        Recognition(labels, architecture="resnet49")
    with pytest.raises(UserError, match=r"scores\.parts\.top1\.weights=.*absent"):
        Recognition(labels, weights=tmp_path / "absent.pth").load()


def test_the_family_that_the_loss_looked_at_is_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.txt", "cat 3")
    looked_at = backbones_of_loss(nn.ModuleList([LPIPS("vgg"), LPIPS("squeeze")]))
    assert looked_at == {"vgg16", "squeezenet1_1"}
    assert backbones_of_loss(None) == set()
    chosen = Scores({"top1": Recognition(labels, architecture="vgg19")}, test=["top1"])
    with pytest.raises(UserError, match=r"the loss looked at vgg16, so what vgg19 recognises says little"):
        chosen.check_backbones(looked_at)
    Scores({"top1": Recognition(labels, architecture="resnet50")}, test=["top1"]).check_backbones(looked_at)
    Recognition(labels, architecture="vgg19", allow_same_backbone=True).check_backbones(looked_at)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["loss=l1"], set()),
        (["loss=l1_perceptual"], {"vgg19"}),
        (["loss=l1_perceptual", "feature_network=vgg16"], {"vgg16"}),
        (["loss=l1_resnet50"], {"resnet50"}),
        (["loss=l1_lpips", "loss.terms.lpips.term.net=alex"], {"alexnet"}),
        (["loss=l1_lpips", "loss.terms.lpips.weight=0"], set()),
        (["loss=l1_dists"], {"vgg16"}),
        (["loss=enhancenet_pat"], {"vgg19"}),
    ],
)
def test_the_loss_of_a_finished_run_is_looked_up(overrides: list[str], expected: set[str], tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    config = compose_config("train", [*overrides, f"paths.run_folder={tmp_path}"])
    OmegaConf.save(config, tmp_path / ".hydra" / "config.yaml")
    assert backbones_of_run(tmp_path) == expected
    assert backbones_of_run(tmp_path / "checkpoints" / "last.ckpt") == expected
    labels = write(tmp_path / "labels.txt", "cat 3")
    for architecture in ("vgg11", "resnet18", "alexnet"):
        if any(name.startswith(architecture[:3]) for name in expected):
            with pytest.raises(UserError, match="the loss looked at"):
                Recognition(labels, architecture=architecture, run=tmp_path)
        else:
            Recognition(labels, architecture=architecture, run=tmp_path)


def test_a_run_without_config_is_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.txt", "cat 3")
    with pytest.raises(UserError, match="give the whole run folder"):
        Recognition(labels, run=tmp_path / "somewhere" / "last.ckpt")
    (tmp_path / ".hydra").mkdir()
    write(tmp_path / ".hydra" / "config.yaml", "loss: {a: ${nowhere}}")
    with pytest.raises(UserError, match="cannot be read"):
        backbones_of_run(tmp_path)
