import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from sr_experiments.data import Photo, reference_folders
from sr_experiments.data.cache import Cache
from sr_experiments.data.crops import TrainingCrops, training_files
from sr_experiments.data.evaluation import EvaluationImages
from sr_experiments.data.images import read_image, write_png
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.references import NoReference, Other, References, Stored, Warped
from sr_experiments.data.sampler import Draw, StepSampler
from sr_experiments.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
SIZES = [(40, 48), (56, 33), (40, 40)]

keys = st.integers(0, 2**63 - 1)


def noise(path: Path, height: int, width: int, seed: int, channels: int = 3) -> Path:
    write_png(path, np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs and one test set, of noise: `input/` and `ref/` with sizes that differ, `CUFED5/`."""
    root = tmp_path_factory.mktemp("references")
    for number, (height, width) in enumerate(SIZES):
        noise(root / "input" / f"{number}.png", height, width, number)
        noise(root / "ref" / f"{number}.png", width + 4, height - 3, 10 + number)
        for reference in range(6):
            noise(root / "CUFED5" / f"00{number}_{reference}.png", 20 + 4 * reference, 24, 100 * number + reference)
    return root


@pytest.fixture(scope="module")
def photos(folder: Path) -> list[Photo]:
    return reference_folders(folder / "input", folder / "ref")


@pytest.fixture(scope="module")
def cache(folder: Path, photos: list[Photo]) -> Cache:
    cache = Cache(folder / "cache")
    cache.build(training_files(photos, Stored()))
    return cache


def own(photos: Sequence[Photo]) -> list[Photo]:
    """Photographs that are their own stored references, twice."""
    return [replace(photo, refs=(photo.hr, photo.hr)) for photo in photos]


@given(st.integers(0, 2), keys)
def test_references_turn_as_the_crop_does(photos: list[Photo], cache: Cache, index: int, key: int) -> None:
    item = TrainingCrops(own(photos), cache, 4, 32, references=Stored(32))[Draw(index, key)]
    assert [reference.dtype for reference in item["ref"]] == [torch.uint8] * 2
    assert all(torch.equal(reference, item["hr"]) for reference in item["ref"])
    assert all(reference.is_contiguous() for reference in item["ref"])
    whole = TrainingCrops(own(photos), cache, 4, 32, references=Stored())[Draw(index, key)]
    assert torch.equal(whole["hr"], item["hr"])
    windows = whole["ref"][0].unfold(1, 32, 1).unfold(2, 32, 1)
    assert (windows == item["hr"][:, None, None]).all(dim=(0, 3, 4)).sum() == 1


@given(st.integers(0, 2), keys, st.sampled_from([NoReference(), Stored(), Stored(24), Warped()]))
def test_references_leave_the_crop_as_it_is(
    photos: list[Photo], cache: Cache, index: int, key: int, references: References
) -> None:
    plain = TrainingCrops(photos, cache, 4, 24)[Draw(index, key)]
    assert plain.keys() == {"hr", "key"}
    item = TrainingCrops(photos, cache, 4, 24, references=references)[Draw(index, key)]
    again = TrainingCrops(photos, cache, 4, 24, references=references)[Draw(index, key)]
    assert item.keys() == {"hr", "key", "ref"}
    assert torch.equal(item["hr"], plain["hr"])
    assert len(item["ref"]) == (not isinstance(references, NoReference))
    assert all(torch.equal(first, second) for first, second in zip(item["ref"], again["ref"], strict=True))
    # Where the crop lies is what its key says, by the first three numbers of its stream.
    random, (height, width) = np.random.Generator(np.random.PCG64(key)), SIZES[index]
    top, left, turn = (int(random.integers(count)) for count in (height - 23, width - 23, 8))
    crop = torch.from_numpy(read_image(photos[index].hr)).permute(2, 0, 1)[:, top : top + 24, left : left + 24]
    crop = crop.flip([axis for axis, bit in ((1, 1), (2, 2)) if turn & bit])
    assert torch.equal(item["hr"], crop.transpose(1, 2) if turn & 4 else crop)


def test_stored_references_keep_their_sizes(photos: list[Photo], cache: Cache) -> None:
    crops = TrainingCrops(photos, cache, 4, 32, augment=False, references=Stored())
    for index, photo in enumerate(photos):
        [reference] = crops[Draw(index, 5)]["ref"]
        np.testing.assert_array_equal(reference.permute(1, 2, 0), read_image(photo.refs[0]))


@pytest.mark.parametrize("references", [Stored(24), Warped()])
def test_photographs_with_lr_or_smaller_than_a_crop(
    folder: Path, tmp_path: Path, photos: list[Photo], references: References
) -> None:
    lr = noise(tmp_path / "lr.png", 10, 12, 0)
    cache = Cache(tmp_path / "cache")
    pairs = [replace(photos[0], lr=lr)]
    cache.build(training_files(pairs, references))
    item = TrainingCrops(pairs, cache, 4, 24, references=references)[Draw(0, 3)]
    assert (item["lr"].shape, item["ref"][0].shape) == ((3, 6, 6), (3, 24, 24))
    small = TrainingCrops(pairs, cache, 4, 64, pad=True, references=references)[Draw(0, 3)]
    assert small["hr"].shape == (3, 64, 64)
    assert small["ref"][0].shape == ((3, 24, 24) if isinstance(references, Stored) else (3, 64, 64))


def test_evaluation_takes_whole_references(folder: Path, photos: list[Photo]) -> None:
    images = EvaluationImages(own(photos), 4, Stored(8))
    for index, photo in enumerate(photos):
        for reference in images[index]["ref"]:
            np.testing.assert_array_equal(reference.permute(1, 2, 0), read_image(photo.hr))
    assert EvaluationImages(photos, 4, NoReference())[0]["ref"] == []
    assert "ref" not in EvaluationImages(photos, 4)[0]


def test_evaluation_draws_the_same_each_time(photos: list[Photo]) -> None:
    for make in (Warped, lambda: Other(photos)):
        items = [EvaluationImages(photos * 4, 4, make(), seed=3)[index]["ref"][0] for index in range(12)]
        images = EvaluationImages(photos * 4, 4, make(), seed=3)
        for index in reversed(range(12)):
            assert torch.equal(images[index]["ref"][0], items[index])
        others = [EvaluationImages(photos * 4, 4, make(), seed=4)[index]["ref"][0] for index in range(12)]
        assert not all(torch.equal(first, second) for first, second in zip(items, others, strict=True))
        # The same photograph at another place of the set gets a draw of its own.
        assert len({item.numpy().tobytes() for item in items[::3]}) > 1


def test_gray_photographs_get_references_in_colour(tmp_path: Path) -> None:
    gray = Photo("a", noise(tmp_path / "a.png", 17, 22, 0, channels=1))
    item = EvaluationImages([gray], 4, Warped())[0]
    assert item["gray"]
    assert item["ref"][0].shape == item["hr"].shape == (3, 16, 20)


def module(folder: Path, **changes: Any) -> SRDataModule:
    given: dict[str, Any] = {
        "train": reference_folders(folder / "input", folder / "ref"),
        "sets": {"pairs": reference_folders(folder / "input", folder / "ref")},
        "root": None,
        "scale": 4,
        "crop_size": 32,
        "batch_size": 4,
        "num_workers": 0,
        "cache_dir": folder / "cache",
        "references": Stored(),
    }
    return SRDataModule(**(given | changes))


def train_batches(data: SRDataModule, count: int) -> list[dict[str, Any]]:
    data.prepare_data()
    data.setup("fit")
    return list(islice(data.train_dataloader(), count))


def plain(batches: list[dict[str, Any]]) -> list[Any]:
    """Batches as nested lists of numbers, which compare."""
    return [
        [batch["hr"].tolist(), batch["key"].tolist(), [[one.tolist() for one in row] for row in batch["ref"]]]
        for batch in batches
    ]


@pytest.mark.parametrize("references", [Stored(), Stored(20), Warped(), NoReference()])
def test_batches_do_not_depend_on_workers(folder: Path, references: References) -> None:
    here = train_batches(module(folder, references=references), 3)
    assert plain(here) == plain(train_batches(module(folder, references=references, num_workers=2), 3))
    assert here[0]["hr"].shape == (4, 3, 32, 32)
    assert [len(row) for row in here[0]["ref"]] == [0 if isinstance(references, NoReference) else 1] * 4


def test_one_batch_holds_references_of_all_sizes(folder: Path) -> None:
    batches = train_batches(module(folder), 4)
    shapes = {tuple(reference.shape) for batch in batches for [reference] in batch["ref"]}
    sizes = {(3, width + 4, height - 3) for height, width in SIZES}
    assert shapes == sizes | {(3, width, height) for _, height, width in sizes}  # turned or not
    assert any(len({reference.shape for [reference] in batch["ref"]}) > 1 for batch in batches)


def test_without_references_a_batch_is_what_it_was(folder: Path) -> None:
    with_references = train_batches(module(folder), 2)
    without = train_batches(module(folder, references=None), 2)
    assert [batch.keys() for batch in without] == [{"hr", "key"}] * 2
    for first, second in zip(with_references, without, strict=True):
        assert torch.equal(first["hr"], second["hr"])
    [loader] = module(folder, references=None).val_dataloader()
    assert {key for batch in loader for key in batch} == {"hr", "gray", "name", "index", "key"}


def test_processes_share_the_samples_of_one(photos: list[Photo], cache: Cache) -> None:
    crops = TrainingCrops(photos, cache, 4, 32, references=Warped())
    whole = [draw for batch in islice(StepSampler(3, 4, 0), 3) for draw in batch]
    ranks = [islice(StepSampler(3, 4, 0, rank=rank, world_size=2), 3) for rank in range(2)]
    shared = chain.from_iterable(chain(*parts) for parts in zip(*ranks, strict=True))
    for one, other in zip(whole, shared, strict=True):
        assert torch.equal(crops[one]["ref"][0], crops[other]["ref"][0])


class Recorder(LightningModule):
    """Keeps the sums of the references it sees, and trains one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []
        self.evaluated: list[list[torch.Size]] = []

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        self.seen.append([int(reference.sum()) for row in batch["ref"] for reference in row])
        return self.weight * batch["hr"].float().mean()

    def validation_step(self, batch: dict[str, Any], index: int, dataloader_idx: int = 0) -> None:
        [row] = batch["ref"]
        self.evaluated.append([reference.shape for reference in row])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path, steps: int) -> Trainer:
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        use_distributed_sampler=False,
    )


def test_resume_continues_with_the_references_that_come_next(folder: Path, tmp_path: Path) -> None:
    whole, first, rest = Recorder(), Recorder(), Recorder()
    trainer(tmp_path, 7).fit(whole, module(folder, references=Warped()))
    begun = trainer(tmp_path, 3)
    begun.fit(first, module(folder, references=Warped()))
    begun.save_checkpoint(tmp_path / "last.ckpt")
    trainer(tmp_path, 7).fit(rest, module(folder, references=Warped()), ckpt_path=tmp_path / "last.ckpt")
    assert first.seen + rest.seen == whole.seen
    assert len(whole.seen) == 7


def test_evaluation_through_the_trainer(folder: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer(tmp_path, 1).validate(recorder, module(folder), verbose=False)
    assert recorder.evaluated == [[(3, width + 4, height - 3)] for height, width in SIZES]


def test_photographs_without_references_are_refused_before_training(folder: Path, photos: list[Photo]) -> None:
    alone = [*photos, Photo("alone", photos[0].hr)]
    for changes in ({"train": alone}, {"sets": {"a": alone}}, {"train": None, "sets": {"a": alone}}):
        with pytest.raises(UserError, match="no reference belongs to alone;"):
            module(folder, **changes)
        module(folder, **changes, references=NoReference())


def test_unreadable_reference_is_named(folder: Path, tmp_path: Path, photos: list[Photo]) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"broken")
    damaged = [replace(photos[0], refs=(broken,))]
    with pytest.raises(UserError, match=r"cannot read broken\.png"):
        module(folder, train=damaged, cache_dir=tmp_path / "cache").prepare_data()
    with pytest.raises(UserError, match=r"cannot read broken\.png"):
        EvaluationImages(damaged, 4, Stored())[0]


def from_config(name: str, *overrides: str, cache_dir: Path | str = os.devnull) -> SRDataModule:
    shared = ["+scale=4", "+seed=0", "+trainer.accumulate_grad_batches=1", f"+paths.cache_dir={cache_dir}"]
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose(None, overrides=[f"+data={name}", *shared, *overrides])
    return instantiate(config.data)


def test_plain_options_have_no_references(folder: Path) -> None:
    assert from_config("sample").references is None
    assert isinstance(from_config("sample", "reference@data.references=warped").references, Warped)


def test_cufed_option(folder: Path, tmp_path: Path) -> None:
    given = [f"data.train.input={folder / 'input'}", f"data.train.ref={folder / 'ref'}"]
    data = from_config("cufed", *given)
    assert (data.set_names, data.crop_size, data.step_images) == ([], 160, 9)
    assert isinstance(data.references, Stored)
    assert data.references.size is None
    data = from_config("cufed", *given, f"data.root={folder / 'CUFED5'}", "data.crop_size=32", cache_dir=tmp_path)
    assert data.set_names == [f"CUFED5_{name}" for name in ("L1", "L2", "L3", "L4", "L5", "all")]
    assert len(train_batches(data, 1)[0]["ref"]) == 9


def test_cufed5_option(folder: Path) -> None:
    data = from_config("cufed5", f"data.root={folder / 'CUFED5'}", "data.num_workers=0")
    assert data.train is None
    heights = [
        [[reference.shape[1] for reference in row] for row in next(iter(s))["ref"]] for s in data.val_dataloader()
    ]
    assert heights == [[[24]], [[28]], [[32]], [[36]], [[40]], [[24, 28, 32, 36, 40]]]
    own_sets = from_config("cufed5", f"data.root={folder}", "data.sets=[input]", "reference@data.references=none")
    assert own_sets.set_names == ["input"]


@pytest.mark.parametrize(
    ("option", "training", "test"),
    [
        ("stored_window", (3, 160, 160), (3, 500, 741)),
        ("warped", (3, 96, 96), (3, 240, 240)),
        ("other", (3, 160, 160), None),
        ("none", None, None),
    ],
)
def test_reference_sample_option(
    folder: Path, option: str, training: tuple[int, ...] | None, test: tuple[int, ...] | None
) -> None:
    given = [] if option == "stored_window" else [f"reference@data.references={option}"]
    data = from_config("reference_sample", *given, "data.num_workers=0", cache_dir=folder / "cache")
    assert (data.set_names, data.crop_size, data.step_images) == (["reference_sample"], 96, 4)
    [batch] = train_batches(data, 1)
    shapes = {tuple(reference.shape) for row in batch["ref"] for reference in row}
    assert shapes == ({training} if training else set())
    [loader] = data.val_dataloader()
    for image in loader:
        [row] = image["ref"]
        assert len(row) == (option != "none")
        assert test is None or tuple(row[0].shape) == test
