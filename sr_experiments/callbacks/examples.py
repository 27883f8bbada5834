"""A crop of a validation image: SR beside LR, bicubic, HR and the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from lightning_fabric.utilities import move_data_to_device
from PIL import Image
from torch import Tensor, nn

from sr_experiments.callbacks.sheets import PANEL, Example, Pixels, error_map, errors
from sr_experiments.data.module import SRDataModule, collate
from sr_experiments.degradations import bicubic_upsample
from sr_experiments.metrics import Protocol
from sr_experiments.pixels.eightbit import to_pixels


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all its parts into evaluation mode without gradients, and each back into its own mode.

    Compiled parts run uncompiled: the sizes of whole images must not cause recompilation.
    """
    modes = [(part, part.training) for part in module.modules()]
    is_compiled = any(part._compiled_call_impl is not None for part in module.modules())
    module.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager") if is_compiled else nullcontext():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def make_example(
    pl_module: pl.LightningModule,
    datamodule: SRDataModule,
    place: tuple[str, int],
    size: int,
    protocol: Protocol,
    by: str,
) -> Example:
    """Enlarge one validation image as a validation does, and cut out the crop with the largest error.

    Runs in this process alone, draws no random number, and does not change the module.

    Args:
        pl_module: has the network.
        datamodule: has the image.
        place: the set, and which of its images, counted from 0.
        size: pixels a side of the part in HR; less where the image is smaller.
        protocol: the protocol of the PSNR of the whole image.
        by: whose error decides: `bicubic`, which gives the same crop for every network, or `sr`.
    """
    name, index = place
    with evaluating(pl_module):
        batch = move_data_to_device(collate([datamodule.images_of(name)[index]]), pl_module.device)
        outputs: Any = pl_module.validation_step(batch, 0)
        hr, sr = outputs["hr"], outputs["sr"]
        height, width = hr.shape[-2:]
        bicubic = bicubic_upsample(outputs["lr"], size=(height, width))
        whole = {"LR": F.interpolate(outputs["lr"], (height, width)), "bicubic": bicubic, "SR": sr, "HR": hr}
        top, left = worst_window({"bicubic": bicubic, "sr": sr}[by], hr, size)
        window = (..., slice(top, top + size), slice(left, left + size))
        panels = {label: to_pixels(image[window][0]) for label, image in whole.items()}
        scores = {
            label: protocol.score(image[0], hr[0], is_gray=bool(outputs["gray"]))["psnr"]
            for label, image in (("bicubic", bicubic), ("SR", sr))
        }
    panels["error"] = error_map(panels["SR"], panels["HR"])
    references = outputs["ref"][0] if "ref" in outputs else []
    if references:
        panels = {"LR": panels.pop("LR"), "reference": thumbnail(references[0]), **panels}
    notes = {
        "LR": f"{name}/{outputs['name'][0]}",
        "reference": f"1 of {len(references)}, whole",
        "bicubic": f"{scores['bicubic']:.2f} dB",
        "SR": f"{scores['SR']:.2f} dB ({scores['SR'] - scores['bicubic']:+.2f})",
        "error": f"mean {errors(panels['SR'], panels['HR']).mean():.1f}",
    }
    values: dict[str, float | None] = {"bicubic_psnr": scores["bicubic"], "psnr": scores["SR"]}
    return Example(notes["LR"], panels, notes, values)


def worst_window(image: Tensor, hr: Tensor, size: int) -> tuple[int, int]:
    """Top and left of the window in which an image, (1, 3, H, W), has the largest squared error.

    Windows lie an eighth of their size apart.
    """
    error = (image.clamp(0, 1) - hr).cpu().double().square().mean(dim=1, keepdim=True)
    window = (min(size, error.shape[-2]), min(size, error.shape[-1]))
    stride = max(1, size // 8)
    means = F.avg_pool2d(error, window, stride)[0, 0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    return row * stride, column * stride


def thumbnail(reference: Tensor) -> Pixels:
    """A whole reference, uint8 (3, h, w), shrunk to the size of a panel."""
    image = Image.fromarray(reference.permute(1, 2, 0).cpu().numpy())
    image.thumbnail((PANEL, PANEL))
    return np.asarray(image)


def first_images(datamodule: SRDataModule, count: int) -> list[tuple[str, int]]:
    """The first images of all sets in turn: (set, place in it), at most `count`."""
    most = max((len(photos) for photos in datamodule.sets.values()), default=0)
    dealt = [(name, index) for index in range(most) for name, photos in datamodule.sets.items() if index < len(photos)]
    return dealt[:count]


def extremes(
    scores: Mapping[str, Sequence[float | None]], higher_is_better: bool, count: int
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The best and the worst images, each from the most extreme on; no image is both.

    Args:
        scores: set -> the score of each image; None for an image that has none.
        higher_is_better: whether a higher score is better.
        count: the largest number of each kind.

    Returns:
        (set, place in it) of the best, and of the worst.
    """
    sign = -1 if higher_is_better else 1
    found = [
        (sign * value, (name, index))
        for name, of in scores.items()
        for index, value in enumerate(of)
        if value is not None and not math.isnan(value)
    ]
    order = [place for _, place in sorted(found, key=lambda item: item[0])]
    best = order[: min(count, (len(order) + 1) // 2)]
    return best, order[len(best) :][::-1][:count]
