"""Scores per image: repeats, gaps, and processes that saw different numbers of images."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from sr_experiments.errors import UserError
from sr_experiments.metrics import ImageScores

PSNR = [30.0, 0.1, 27.123456789012345, 1 / 3, 41.7]
SSIM = [0.9, 0.1 + 0.2, 0.7, 1 / 7, 0.99]


def fill(scores: ImageScores, indices: list[int]) -> ImageScores:
    for index in indices:
        scores.update(index, {"psnr": PSNR[index], "ssim": SSIM[index]})
    return scores


def test_values_and_means() -> None:
    scores = fill(ImageScores(5), [3, 0, 4, 1, 2])
    assert scores.compute() == {"psnr": PSNR, "ssim": SSIM}
    assert scores.means() == {"psnr": pytest.approx(sum(PSNR) / 5), "ssim": pytest.approx(sum(SSIM) / 5)}


def test_one_image() -> None:
    assert fill(ImageScores(1), [0]).compute() == {"psnr": [30.0], "ssim": [0.9]}


def test_an_image_seen_twice_counts_once() -> None:
    assert fill(ImageScores(5), [0, 1, 2, 3, 4, 0, 0, 3]).compute() == {"psnr": PSNR, "ssim": SSIM}


def test_infinity_stays_with_its_image_and_reaches_the_mean() -> None:
    scores = fill(ImageScores(2), [0])
    scores.update(1, {"psnr": math.inf, "ssim": 1.0})
    assert scores.compute()["psnr"] == [30.0, math.inf]
    assert scores.means() == {"psnr": math.inf, "ssim": 0.95}


def test_missing_images_are_an_error_unless_allowed() -> None:
    with pytest.raises(UserError, match="2 of 5 images were never scored"):
        fill(ImageScores(5), [0, 2, 3]).compute()
    scores = fill(ImageScores(5, partial=True), [0, 4])
    assert scores.compute()["psnr"] == [PSNR[0], None, None, None, PSNR[4]]
    assert scores.means()["psnr"] == pytest.approx((PSNR[0] + PSNR[4]) / 2)


def test_a_score_that_an_image_does_not_have_is_left_out_of_the_mean() -> None:
    scores = ImageScores(3, names=["psnr", "ms_ssim"])
    for index, value in enumerate([0.5, None, 0.7]):
        scores.update(index, {"psnr": PSNR[index], "ms_ssim": value})
    scores.update(1, {"psnr": PSNR[1], "ms_ssim": None})
    assert scores.compute() == {"psnr": PSNR[:3], "ms_ssim": [0.5, None, 0.7]}
    assert scores.means()["ms_ssim"] == pytest.approx(0.6)
    nowhere = ImageScores(1, names=["ms_ssim"])
    nowhere.update(0, {"ms_ssim": None})
    assert math.isnan(nowhere.means()["ms_ssim"])
    # What came out as no number is not what could not be taken: it must spoil the mean.
    scores.update(0, {"psnr": math.nan, "ms_ssim": 0.5})
    assert math.isnan(scores.means()["psnr"])


def test_reset_forgets() -> None:
    scores = fill(ImageScores(5), [0, 1, 2, 3, 4])
    scores.compute()
    scores.reset()
    scores.partial = True
    scores.update(1, {"psnr": 1.0, "ssim": 0.5})
    assert scores.compute()["psnr"] == [None, 1.0, None, None, None]


def test_half_precision_of_the_model_does_not_reach_the_states() -> None:
    assert fill(ImageScores(5), [0, 1, 2, 3, 4]).half().compute()["psnr"] == PSNR


def test_wrong_updates() -> None:
    scores = ImageScores(5)
    with pytest.raises(IndexError, match="image 5 of 5"):
        scores.update(5, {"psnr": 1.0, "ssim": 1.0})
    with pytest.raises(IndexError, match="image -1"):
        scores.update(-1, {"psnr": 1.0, "ssim": 1.0})
    with pytest.raises(ValueError, match="'psnr', 'ssim'"):
        scores.update(0, {"psnr": 1.0})


SPLITS = [
    (5, [[0, 2, 4], [1, 3]]),
    (5, [[0, 2, 4], [1, 3, 0]]),  # a sampler that pads by repeating the first image
    (1, [[0], []]),
    (1, [[0], [0]]),
]


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = []
    for n_images, split in SPLITS:
        scores = fill(ImageScores(n_images), split[rank])
        results.append({"images": scores.compute(), "means": scores.means()})
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    mp.spawn(_process, args=(str(tmp_path),), nprocs=2)
    alone = [fill(ImageScores(n_images), list(range(n_images))) for n_images, _ in SPLITS]
    expected = [{"images": scores.compute(), "means": scores.means()} for scores in alone]
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)] == [expected, expected]
