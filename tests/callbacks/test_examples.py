"""Which images are shown, and which part of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sr_experiments.callbacks.examples import evaluating, extremes, first_images, worst_window
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.photos import Photo


def test_the_window_is_the_worst_of_all() -> None:
    generator = np.random.default_rng(0)
    for height, width, size in ((40, 56, 16), (17, 90, 24), (8, 8, 16)):
        hr = torch.from_numpy(generator.random((1, 3, height, width), np.float32))
        image = torch.from_numpy(generator.random((1, 3, height, width), np.float32) * 2 - 0.5)
        squares = (image.clamp(0, 1).double() - hr.double()).square().sum(dim=1)[0]
        rows, columns = min(size, height), min(size, width)
        stride = size // 8
        found = worst_window(image, hr, size)
        errors = {
            (top, left): float(squares[top : top + rows, left : left + columns].sum())
            for top in range(0, height - rows + 1, stride)
            for left in range(0, width - columns + 1, stride)
        }
        assert found == max(errors, key=errors.__getitem__)


def test_best_and_worst_are_no_image_twice() -> None:
    scores = {"A": [30.0, None, 20.0, float("nan")], "B": [25.0, float("inf"), 10.0]}
    best, worst = extremes(scores, True, 2)
    assert best == [("B", 1), ("A", 0)]
    assert worst == [("B", 2), ("A", 2)]
    best, worst = extremes(scores, False, 4)
    assert best == [("B", 2), ("A", 2), ("B", 0)]
    assert worst == [("B", 1), ("A", 0)]
    assert extremes({"A": [1.0]}, True, 2) == ([("A", 0)], [])
    assert extremes({"A": [None]}, True, 2) == ([], [])
    assert extremes({}, True, 2) == ([], [])


def test_images_of_all_sets_take_turns(tmp_path) -> None:
    from sr_experiments.data.images import write_png

    def photos(name: str, count: int) -> list[Photo]:
        found = [Photo(str(index), tmp_path / name / f"{index}.png") for index in range(count)]
        for photo in found:
            write_png(photo.hr, np.zeros((32, 32, 3), np.uint8))
        return found

    module = SRDataModule(None, {"A": photos("A", 3), "B": photos("B", 1)}, None, 4, 16, 1)
    assert first_images(module, 3) == [("A", 0), ("B", 0), ("A", 1)]
    assert first_images(module, 9) == [("A", 0), ("B", 0), ("A", 1), ("A", 2)]
    assert first_images(SRDataModule(None, {}, None, 4, 16, 1), 3) == []


def test_every_part_gets_its_own_mode_back() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3)))
    module[1][1].eval()  # frozen
    before = [part.training for part in module.modules()]
    with evaluating(module):
        assert not any(part.training for part in module.modules())
        assert not torch.is_grad_enabled()
    assert [part.training for part in module.modules()] == before
    assert torch.is_grad_enabled()


def test_looking_at_images_compiles_nothing() -> None:
    sizes = []

    def backend(graph, inputs):
        sizes.append([tuple(value.shape) for value in inputs if isinstance(value, torch.Tensor)])
        return graph.forward

    module = nn.Conv2d(3, 3, 3, padding=1)
    module.compile(backend=backend)
    with evaluating(module):
        assert module(torch.rand(1, 3, 20, 24)).shape == (1, 3, 20, 24)
        module(torch.rand(1, 3, 12, 8))
    assert not sizes
    module(torch.rand(1, 3, 16, 16))
    assert len(sizes) == 1
    assert (1, 3, 16, 16) in sizes[0]  # and of that very size
