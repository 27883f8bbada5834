import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from sr_experiments.data import Photo, hr_folder
from sr_experiments.data.images import write_png
from sr_experiments.data.module import SRDataModule
from sr_experiments.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, scale in (("hr", 4), ("lr", 1), ("sets/One", 4), ("sets/Two", 4)):
        for number in range(5):
            write_png(
                root / name / f"{number}.png", random.integers(0, 256, (8 * scale, 10 * scale, 3), dtype=np.uint8)
            )
    return root


def module(folder: Path, **changes: Any) -> SRDataModule:
    keys: dict[str, Any] = {
        "train": hr_folder(folder / "hr"),
        "sets": ["One", "Two"],
        "root": folder / "sets",
        "scale": 4,
        "crop_size": 16,
        "batch_size": 4,
        "num_workers": 0,
        "cache_dir": folder / "cache",
    }
    return SRDataModule(**(keys | changes))


def train_batches(data: SRDataModule, count: int) -> list[dict[str, Tensor]]:
    data.prepare_data()
    data.setup("fit")
    return list(islice(data.train_dataloader(), count))


def equal(first: list[dict[str, Tensor]], second: list[dict[str, Tensor]]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs)


def test_batches_do_not_depend_on_workers_or_global_random_state(folder: Path) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    here = train_batches(module(folder), 6)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    assert equal(here, train_batches(module(folder, num_workers=2), 6))
    assert not equal(here, train_batches(module(folder, seed=1), 6))
    assert here[0]["hr"].shape == (4, 3, 16, 16)
    assert here[0]["hr"].dtype == torch.uint8
    assert here[0]["key"].dtype == torch.int64


def test_a_loader_batch_is_a_whole_update(folder: Path) -> None:
    accumulated = train_batches(module(folder, accumulate=3), 2)
    assert accumulated[0]["hr"].shape == (12, 3, 16, 16)
    assert equal(accumulated, train_batches(module(folder, batch_size=12), 2))


def test_sets_keep_their_order_and_names(folder: Path) -> None:
    data = module(folder, sets={"b": "Two", "a": "one", "own": [Photo("x", folder / "hr" / "3.png")]})
    assert data.set_names == ["b", "a", "own"]
    assert [[batch["name"][0] for batch in loader] for loader in data.val_dataloader()] == [
        list("01234"),
        list("01234"),
        ["x"],
    ]
    assert len(module(folder, sets=[], root=None).test_dataloader()) == 0


class Recorder(LightningModule):
    """Keeps the keys of the batches it sees, and trains one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.keys: list[list[int]] = []

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        self.keys.append(batch["key"].tolist())
        return self.weight * batch["hr"].float().mean()

    def validation_step(self, batch: dict[str, Any], index: int, dataloader_idx: int = 0) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path, steps: int, **options: Any) -> Trainer:
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        use_distributed_sampler=False,
        **options,
    )


def test_resume_continues_with_the_draws_that_come_next(folder: Path, tmp_path: Path) -> None:
    whole = Recorder()
    trainer(tmp_path, 9, enable_checkpointing=False).fit(whole, module(folder, num_workers=1))
    first, rest = Recorder(), Recorder()
    begun = trainer(tmp_path, 4, enable_checkpointing=False)
    begun.fit(first, module(folder))
    begun.save_checkpoint(tmp_path / "last.ckpt")
    trainer(tmp_path, 9, enable_checkpointing=False).fit(rest, module(folder), ckpt_path=tmp_path / "last.ckpt")
    assert first.keys + rest.keys == whole.keys
    assert len(whole.keys) == 9


def test_short_epochs_do_not_repeat_draws(folder: Path, tmp_path: Path) -> None:
    epochs, whole = Recorder(), Recorder()
    trainer(tmp_path, 6, enable_checkpointing=False, limit_train_batches=2).fit(epochs, module(folder, num_workers=1))
    trainer(tmp_path, 6, enable_checkpointing=False).fit(whole, module(folder))
    assert epochs.keys == whole.keys


def test_evaluation_alone_builds_no_cache(folder: Path, tmp_path: Path) -> None:
    data = module(folder, cache_dir=tmp_path / "cache")
    trainer(tmp_path, 1).validate(Recorder(), data, verbose=False)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": 10}, r"crop_size=10"),
        ({"batch_size": 0}, r"batch_size=0"),
        ({"accumulate": 0}, r"accumulate=0"),
        ({"num_workers": -1}, r"num_workers=-1"),
        ({"num_workers": "many"}, r"num_workers=many"),
        ({"train": []}, r"data\.train lists no photograph"),
        ({"root": None}, r"data\.root"),
        ({"sets": ["Three"]}, r"'Three' .* One, Two"),
        ({"sets": ["One", {"One": "Two"}]}, r"two sets named 'One'"),
        ({"sets": {"mine": []}}, r"'mine' lists no photograph"),
        ({"sets": [{"/abs/One": "One"}]}, r"set named '/abs/One', but a set's images go to a folder of its name"),
        ({"sets": [{"../../escape": "One"}]}, r"set named '\.\./\.\./escape'"),
    ],
)
def test_wrong_options_are_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        module(folder, **changes)


def test_too_small_photographs_are_found_at_setup(folder: Path) -> None:
    data = module(folder, crop_size=36)
    data.prepare_data()
    with pytest.raises(UserError, match=r"is 40x32 pixels, smaller than a crop of 36x36"):
        data.setup("fit")


def test_training_without_photographs(folder: Path) -> None:
    data = module(folder, train=None)
    data.prepare_data()
    data.setup("fit")
    with pytest.raises(UserError, match="no training photographs"):
        data.train_dataloader()


def from_config(name: str, *overrides: str) -> SRDataModule:
    shared = ["+scale=4", "+seed=0", "+trainer.accumulate_grad_batches=2", f"+paths.cache_dir={os.devnull}"]
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose(None, overrides=[f"+data={name}", *shared, *overrides])
    return instantiate(config.data)


def test_sample_option() -> None:
    data = from_config("sample")
    assert data.set_names == ["sample"]
    assert len(data.train) == 6
    assert isinstance(data.train[0], Photo)
    assert data.step_images == 32


def test_sets_on_the_command_line_replace_those_of_the_option(folder: Path) -> None:
    assert from_config("sample", f"data.root={folder / 'sets'}", "data.sets=[One]").set_names == ["One"]


def test_folder_option(folder: Path) -> None:
    data = from_config(
        "folder", f"data.train.hr={folder / 'hr'}", f"data.root={folder / 'sets'}", "data.sets=[Two,One]"
    )
    assert [len(data.train), data.set_names] == [5, ["Two", "One"]]


def test_paired_option(folder: Path) -> None:
    data = from_config("paired", f"data.train.hr={folder / 'hr'}", f"data.train.lr={folder / 'lr'}")
    assert data.train[2] == Photo("2", folder / "hr" / "2.png", folder / "lr" / "2.png")
    assert data.set_names == []


def test_benchmark_option(folder: Path) -> None:
    data = from_config("benchmark", f"data.root={folder / 'sets'}", "data.sets=[two,{Mine: One}]")
    assert data.train is None
    assert data.set_names == ["two", "Mine"]
