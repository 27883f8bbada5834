"""Maps of classes beside photographs: they are cut, turned and mirrored with the crop, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.data import Photo, benchmark_set, hr_folder
from sr_experiments.data.cache import Cache
from sr_experiments.data.crops import TrainingCrops, training_files
from sr_experiments.data.evaluation import EvaluationImages
from sr_experiments.data.images import write_png
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.sampler import Draw
from sr_experiments.errors import UserError

CLASSES = 5
Kind = str


def labels_of(hr: torch.Tensor) -> torch.Tensor:
    """The class that `scene` gave every pixel, (h, w), from its colour, uint8 (3, h, w)."""
    return hr[0].long() % CLASSES


def scene(folder: Path, kind: Kind, height: int = 40, width: int = 52, name: str = "a") -> Path:
    """A photograph whose colours tell the class of each pixel, and its map in `condition`."""
    pixels = np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), np.uint8)
    write_png(folder / "hr" / f"{name}.png", pixels)
    labels = pixels[..., 0] % CLASSES
    target = folder / "condition" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    one_hot = np.eye(CLASSES)[labels].transpose(2, 0, 1)
    if kind == "gray":
        write_png(target.with_suffix(".png"), labels)
    elif kind == "palette":
        image = Image.fromarray(labels, "P")
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tolist())
        image.save(target.with_suffix(".png"))
    elif kind == "uint8":
        np.save(target.with_suffix(".npy"), (one_hot * 255).astype(np.uint8))
    else:
        np.save(target.with_suffix(".npy"), one_hot.astype(kind))
    return folder


def crops(root: Path, photos: list[Photo], crop_size: int, pad: bool = False) -> TrainingCrops:
    cache = Cache(root / "cache")
    cache.build(training_files(photos))
    return TrainingCrops(photos, cache, 4, crop_size, pad=pad, classes=CLASSES)


@pytest.mark.parametrize("kind", ["gray", "palette", "uint8", "float16", "float32"])
def test_the_map_of_a_crop_is_that_of_its_pixels(kind: Kind, tmp_path: Path) -> None:
    folder = scene(tmp_path, kind)
    photos = hr_folder(folder / "hr", folder / "condition")
    of = crops(tmp_path, photos, 24)
    places = set()
    for key in range(20):
        item = of[Draw(0, key)]
        assert item["condition"].dtype == torch.float32
        assert item["condition"].shape == (CLASSES, 24, 24)
        assert torch.equal(item["condition"].sum(0), torch.ones(24, 24))
        assert torch.equal(item["condition"].argmax(0), labels_of(item["hr"]))
        places.add(tuple(item["hr"][:, 0, 0].tolist()))
    assert len(places) > 10


def test_small_photographs_are_mirrored_with_their_maps(tmp_path: Path) -> None:
    folder = scene(tmp_path, "gray", 20, 30)
    item = crops(tmp_path, hr_folder(folder / "hr", folder / "condition"), 32, pad=True)[Draw(0, 3)]
    assert item["hr"].shape == (3, 32, 32)
    assert torch.equal(item["condition"].argmax(0), labels_of(item["hr"]))


def test_pairs_keep_their_maps(tmp_path: Path) -> None:
    folder = scene(tmp_path, "float32", 42, 50)
    write_png(tmp_path / "lr.png", np.zeros((10, 12, 3), np.uint8))
    photo = Photo("a", folder / "hr" / "a.png", tmp_path / "lr.png", condition=folder / "condition" / "a.npy")
    for key in range(5):
        item = crops(tmp_path, [photo], 24)[Draw(0, key)]
        assert torch.equal(item["condition"].argmax(0), labels_of(item["hr"]))


@pytest.mark.parametrize("layout", ["flat", "HR"])
def test_test_sets_have_theirs_in_a_folder_beside(layout: str, tmp_path: Path) -> None:
    folder = scene(tmp_path / "Set", "gray", 42, 51)
    if layout == "flat":
        (folder / "hr" / "a.png").rename(folder / "a.png")
        (folder / "hr").rmdir()
    item = EvaluationImages(benchmark_set(tmp_path, "Set", 4), 4, classes=CLASSES)[0]
    assert item["condition"].shape == (CLASSES, 40, 48)
    assert torch.equal(item["condition"].argmax(0), labels_of(item["hr"]))


def test_batches_have_them(tmp_path: Path) -> None:
    folder = scene(tmp_path / "sets" / "Set", "gray")
    data = SRDataModule(
        hr_folder(folder / "hr", folder / "condition"), ["Set"], tmp_path / "sets", 4, 24, 2, num_workers=0,
        cache_dir=tmp_path / "cache", classes=CLASSES,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["condition"].shape == (2, CLASSES, 24, 24)
    [loader] = data.val_dataloader()
    assert next(iter(loader))["condition"].shape == (1, CLASSES, 40, 52)


def data_of(folder: Path, classes: int = CLASSES) -> SRDataModule:
    photos = hr_folder(folder / "hr", folder / "condition")
    return SRDataModule(photos, [], None, 4, 24, 2, cache_dir=folder / "cache", classes=classes)


def test_what_is_missing_or_does_not_fit_is_named(tmp_path: Path) -> None:
    folder = scene(tmp_path, "float32")
    with pytest.raises(UserError, match=r"a\.npy has 5 classes, not data\.classes=8"):
        data_of(folder, 8)
    write_png(folder / "condition" / "a.png", np.zeros((40, 52), np.uint8))
    with pytest.raises(UserError, match=r"hr/a\.png has two conditions.*a\.npy and a\.png"):
        data_of(folder)
    (folder / "condition" / "a.npy").unlink()
    write_png(folder / "condition" / "a.png", np.zeros((40, 48), np.uint8))
    with pytest.raises(UserError, match=r"a\.png covers 48x40 pixels and its photograph .*a\.png has 52x40"):
        data_of(folder)
    write_png(folder / "condition" / "a.png", np.zeros((40, 52, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png is no map of labels: it is stored as RGB"):
        data_of(folder)
    (folder / "condition" / "a.png").unlink()
    with pytest.raises(UserError, match=r"no condition belongs to .*hr/a\.png: .*condition/a\.npy nor a\.png"):
        data_of(folder)
    np.save(folder / "condition" / "a.npy", np.zeros((40, 52), np.int64))
    with pytest.raises(UserError, match=r"is int64 of the shape \(40, 52\)"):
        data_of(folder)
    (folder / "condition" / "a.npy").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"condition/a\.npy cannot be read"):
        data_of(folder)
    with pytest.raises(UserError, match=r"names 2 folders and data\.train\.condition 1"):
        hr_folder([folder / "hr", folder / "hr"], folder / "condition")


def test_a_label_beyond_the_classes_is_named(tmp_path: Path) -> None:
    folder = scene(tmp_path, "gray")
    photos = hr_folder(folder / "hr", folder / "condition")
    with pytest.raises(UserError, match=r"a\.png has the label 4, but there are 4 classes, 0 to 3"):
        EvaluationImages(photos, 4, classes=4)[0]
