"""Seconds and peak memory of matching LR images with references, and how much faster it is than direct loops.

    python benchmarks/matching.py [--weights imagenet|random|FILE] [--device cpu|cuda] [--threads N]
        [--rounds 7] [--chunk N]

First table: everything from LR and references to the three maps, VGG passes included, at scale 4; the medians of the
rounds, by the wall and in processor time, which other programs on the machine hardly disturb. Each case runs in a
process of its own; its memory is the highest resident size of that process (on a GPU, the highest allocated) less what
it had after a first match of 48x48 pixels.

Then one pair of 160x160, features given: matching and swapping of the three layers, against a loop over the content's
patches which scores each against all patches of the reference by one product, and pastes patch after patch, as the
code that SRNTT's authors released does. The two take turns; both results are compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from sr_experiments.data.images import read_image
from sr_experiments.data.sample import training_photographs
from sr_experiments.degradations import Bicubic, bicubic_upsample
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching import LAYERS, Matching, cell_table, correspond, extract, swap

CASES = {"160x160, one reference": ((160, 160), 1), "160x160, five references": ((160, 160), 5)}
CASES |= {"500x375, one reference": ((375, 500), 1)}


def photograph(number: int, size: tuple[int, int], left: int = 0) -> Tensor:
    pixels = read_image(training_photographs()[number].hr)[: size[0], left : left + size[1]]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255


class Clock:
    """Measures by the wall and in processor time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start = self.now()

    def now(self) -> tuple[float, float]:
        """Both times, once the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, or since the start."""
        last, self.start = self.start, self.now()
        return self.start[0] - last[0], self.start[1] - last[1]


def measure(size: tuple[int, int], count: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """Median seconds by the wall and of the processor, and peak MB of one case."""
    use_threads(options)
    device = torch.device(options.device)
    matching = Matching(FeatureNetwork("vgg19", options.weights), Bicubic(4), 4, options.chunk).to(device)
    refs = [photograph(number, size, left=80).to(device) for number in (2, 0, 1, 2, 5)[:count]]

    small = refs[0][:, :48, :48]
    matching(Bicubic(4)(small[None]), [[small]])
    before = peak(device)
    lr = Bicubic(4)(photograph(2, size)[None].to(device))
    matching(lr, [refs])
    clock, times = Clock(device), []
    for _ in range(options.rounds):
        matching(lr, [refs])
        times.append(clock.lap())
    wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
    return wall, processor, peak(device) - before


def use_threads(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)


def peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def patches(layer: np.ndarray, side: int, stride: int) -> np.ndarray:
    """All square patches: (rows, columns, C, side, side)."""
    return sliding_window_view(layer, (side, side), axis=(1, 2))[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)


def in_loops(content: np.ndarray, blurred: np.ndarray, layers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    candidates = patches(blurred, 3, 1)
    height, width = candidates.shape[:2]
    matrix = candidates.reshape(height * width, -1)
    matrix = torch.nn.functional.normalize(torch.from_numpy(matrix.copy()), dim=1)
    sources = {name: patches(layer, 3 * LAYERS[name], LAYERS[name]) for name, layer in layers.items()}
    rows, columns = content.shape[1] - 2, content.shape[2] - 2
    maps = {
        name: np.zeros((layer.shape[0], (rows + 2) * LAYERS[name], (columns + 2) * LAYERS[name]), np.float32)
        for name, layer in layers.items()
    }
    counts = {name: np.zeros(values.shape[1:], np.float32) for name, values in maps.items()}
    for row in range(rows):
        for column in range(columns):
            patch = torch.from_numpy(content[:, row : row + 3, column : column + 3].reshape(-1))
            best = divmod(int((matrix @ patch).argmax()), width)
            for name, ratio in LAYERS.items():
                area = slice(row * ratio, (row + 3) * ratio), slice(column * ratio, (column + 3) * ratio)
                maps[name][:, area[0], area[1]] += sources[name][best]
                counts[name][area] += 1
    return {name: values / counts[name] for name, values in maps.items()}


def compare(options: argparse.Namespace) -> None:
    use_threads(options)
    network = FeatureNetwork("vgg19", options.weights)
    hr, ref = photograph(2, (160, 160))[None], photograph(2, (160, 160), left=80)[None]
    content, blurred = (
        extract(network, bicubic_upsample(Bicubic(4)(image), 4), ["relu3_1"])["relu3_1"] for image in (hr, ref)
    )
    layers = extract(network, ref, LAYERS)

    def ours() -> dict[str, Tensor]:
        found = correspond(content, [blurred], options.chunk)
        return {name: swap(cell_table([layers[name]], ratio), found, ratio) for name, ratio in LAYERS.items()}

    def loops() -> dict[str, np.ndarray]:
        return in_loops(content.numpy(), blurred.numpy(), {name: values.numpy() for name, values in layers.items()})

    found, expected = ours(), loops()
    scale = {name: float(np.abs(values).max()) for name, values in expected.items()}
    differences = [float(np.abs(found[name].numpy() - expected[name]).max()) / scale[name] for name in LAYERS]
    clock, turns = Clock(torch.device("cpu")), []
    for _ in range(options.rounds):
        ours()
        fast = clock.lap()
        loops()
        turns.append((fast, clock.lap()))
    print("\n160x160, features given   seconds   in loops   times faster (medians)")
    for number, kind in enumerate(("by the wall", "processor")):
        pairs = [(fast[number], slow[number]) for fast, slow in turns]
        fast, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(slow / fast for fast, slow in pairs)
        print(f"{kind:<24} {fast:9.4f} {slow:10.2f} {ratio:14.0f}")
    print(f"largest difference, of the largest value of its layer: {max(differences):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it likes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunk", type=int, default=2**22)
    options = parser.parse_args()
    print("case                         seconds  processor    peak MB")
    for name, (size, count) in CASES.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            wall, processor, memory = pool.submit(measure, size, count, options).result()
        print(f"{name:<26} {wall:9.3f} {processor:10.3f} {memory:10.0f}", flush=True)
    if options.device == "cpu":
        compare(options)


if __name__ == "__main__":
    main()
