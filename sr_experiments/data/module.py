"""The LightningDataModule: training crops that resume at any step, and one evaluation loader a set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader, default_collate

from sr_experiments.data.cache import Cache
from sr_experiments.data.conditions import check_conditions
from sr_experiments.data.crops import TrainingCrops, check_crop_size, training_files
from sr_experiments.data.evaluation import EvaluationImages
from sr_experiments.data.photos import Photo, benchmark_set
from sr_experiments.data.references import References
from sr_experiments.data.sampler import StepSampler, shard
from sr_experiments.errors import UserError
from sr_experiments.pixels.below import is_plain
from sr_experiments.processes.interrupt import end_only_with_parent

_SetsByName = Mapping[str, str | Sequence[Photo]]
Sets = _SetsByName | Sequence[str | _SetsByName]

_MOST_WORKERS = 4  # more do not help: a cached crop costs far less than a training step


class SRDataModule(LightningDataModule):
    """Training crops from a decoded cache, and whole photographs for validation and test.

    A batch of the training loader is always one generator update of one process: `batch_size * accumulate` images over
    all processes, `{"hr": uint8 (N, 3, c, c), "key": int64 (N,)}` and `"lr"` for pairs. Which images and crops it
    holds depends on `seed` and the step alone. The evaluation loaders yield one image at a time (`EvaluationImages`).
    Where there are references, `"ref"` of any batch is a list with one list an image: its references, uint8 (3, h, w)
    of any size, or none. Where all photographs of a set have maps of classes, `"condition"` of any batch is float32
    (N, classes, h, w) in [0, 1], of the size of `"hr"`.

    Args:
        train: the training photographs; `None` where nothing is trained.
        sets: the evaluation sets, in order: each the name of a set under `root`, or a mapping from the name to show to
            either such a name or a list of photographs.
        root: a folder with one folder a benchmark set; see `benchmark_set`.
        scale: the enlargement.
        crop_size: HR pixels a side of a training crop, a multiple of `scale`.
        batch_size: images a batch, over all processes.
        accumulate: batches a generator update.
        seed: decides the order, the crops and the augmentation.
        augment: whether crops are flipped and turned.
        pad: whether photographs smaller than a crop are mirrored to size instead of refused.
        num_workers: loader processes; "auto" for one less than the available cores, at most 4.
        cache_dir: where decoded photographs are kept; `None` for the user's cache folder.
        references: finds the references of each image; `None` for batches without `"ref"`.
        classes: number of classes in the maps, where there are maps.

    Raises:
        UserError: a number does not fit, a set is missing, or a photograph cannot get its references.
    """

    def __init__(
        self,
        train: Sequence[Photo] | None,
        sets: Sets,
        root: str | Path | None,
        scale: int,
        crop_size: int,
        batch_size: int,
        accumulate: int = 1,
        seed: int = 0,
        augment: bool = True,
        pad: bool = False,
        num_workers: int | Literal["auto"] = "auto",
        cache_dir: str | Path | None = None,
        references: References | None = None,
        classes: int = 8,
    ) -> None:
        super().__init__()
        check_crop_size(crop_size, scale)
        if min(batch_size, accumulate) < 1:
            raise UserError(f"data.batch_size={batch_size} and accumulate={accumulate} must both be at least 1.")
        if num_workers != "auto" and (not isinstance(num_workers, int) or num_workers < 0):
            raise UserError(f"data.num_workers={num_workers} must be auto, 0 or a number of processes.")
        if train is not None and not train:
            raise UserError("data.train lists no photograph; name a folder, or set data.train=null to train nothing.")
        # A set may have no image for this process; Lightning must not refuse the empty loader.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.train = train
        self.sets = _find_sets(sets, root, scale)
        self.scale, self.crop_size, self.seed = scale, crop_size, seed
        self.step_images = batch_size * accumulate
        self.augment, self.pad = augment, pad
        self.num_workers = num_workers
        self.cache = Cache(cache_dir)
        self.references, self.classes = references, classes
        for photos in (train or (), *self.sets.values()):
            check_conditions(photos, classes)
            if references is not None:
                references.check(photos)
        self._crops: TrainingCrops | None = None

    @property
    def set_names(self) -> list[str]:
        """Names of the evaluation sets, in the order of their loaders."""
        return list(self.sets)

    def prepare_data(self) -> None:
        """Decode the training photographs into the cache; Lightning calls this once a machine."""
        if self.train is not None and self._fits():
            self.cache.build(training_files(self.train, self.references), workers=_cores())

    def setup(self, stage: str) -> None:
        """Check the training photographs against the crop size.

        Raises:
            UserError: a photograph is smaller than a crop and `pad` is off.
        """
        if stage == "fit" and self.train is not None:
            self._crops = TrainingCrops(
                self.train,
                self.cache,
                self.scale,
                self.crop_size,
                self.augment,
                self.pad,
                self.references,
                self.classes,
            )

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return the endless training loader, beginning at the trainer's current step.

        Raises:
            UserError: there is nothing to train on, or the images of a step cannot be shared by the processes.
        """
        if self._crops is None:
            raise UserError("there are no training photographs: this data option has data.train=null; choose another.")
        rank, world_size = self._place()
        sampler = StepSampler(
            len(self._crops), self.step_images, self.seed, self._step, rank=rank, world_size=world_size
        )
        workers = self._workers()
        return DataLoader(
            self._crops,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=self._generator(),
            worker_init_fn=end_only_with_parent,
        )

    def val_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """Return one loader an evaluation set, of one image at a time; each process gets its share of the images."""
        return [self._evaluation_loader(name) for name in self.sets]

    def test_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        """Return the same loaders as for validation."""
        return self.val_dataloader()

    def images_of(self, name: str) -> EvaluationImages:
        """The images of an evaluation set, one by one, with all that a validation gives to a network."""
        return EvaluationImages(self.sets[name], self.scale, self.references, self.seed, self.classes)

    def _evaluation_loader(self, name: str) -> DataLoader[dict[str, Any]]:
        images = self.images_of(name)
        return DataLoader(
            images,
            collate_fn=collate,
            sampler=shard(len(images), *self._place()),
            num_workers=min(self._workers(), 1, len(images) - 1),  # with one image there is nothing to read ahead
            pin_memory=torch.cuda.is_available(),
            generator=self._generator(),
            worker_init_fn=end_only_with_parent,
        )

    def _generator(self) -> torch.Generator:
        # Loaders draw seeds for their workers: with their own generator they do not change other random numbers.
        return torch.Generator().manual_seed(self.seed)

    def _fits(self) -> bool:
        return self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING

    def _step(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_step

    def _place(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _workers(self) -> int:
        if self.num_workers != "auto":
            return self.num_workers
        processes = 1 if self.trainer is None else max(1, self.trainer.num_devices)
        return max(0, min(_MOST_WORKERS, _cores() // processes - 1))


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack samples to a batch; `"ref"` becomes a list with the list of each sample, since their sizes differ."""
    batch = default_collate([{name: value for name, value in item.items() if name != "ref"} for item in items])
    if "ref" in items[0]:
        batch["ref"] = [item["ref"] for item in items]
    return batch


def _find_sets(sets: Sets, root: str | Path | None, scale: int) -> dict[str, list[Photo]]:
    found: dict[str, list[Photo]] = {}
    for name, photos in _named(sets):
        if not is_plain(name):
            raise UserError(
                f"data.sets has a set named {name!r}, but a set's images go to a folder of its name: name it as Set5 "
                "or BSDS500/val, without a leading slash and without `..`."
            )
        if isinstance(photos, str):
            if root is None:
                raise UserError(f"data.sets names {photos!r}, but data.root, the folder it lies in, is not set.")
            photos = benchmark_set(root, photos, scale)
        if name in found:
            raise UserError(f"data.sets has two sets named {name!r}; remove one, or give it another name.")
        if not photos:
            raise UserError(f"the evaluation set {name!r} lists no photograph.")
        found[name] = list(photos)
    return found


def _named(sets: Sets) -> Iterator[tuple[str, str | Sequence[Photo]]]:
    for entry in [sets] if isinstance(sets, Mapping) else sets:
        if isinstance(entry, str):
            yield entry, entry
        else:
            yield from entry.items()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # what a container or a cluster job may use; Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
