"""BSRGAN's degradation: Zhang et al., ICCV 2021 (arXiv 2103.14006): common degradations in a random order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sr_experiments.degradations.base import Degradation, check_kernel_fits, check_range
from sr_experiments.degradations.blur import blur, blur_and_subsample, gaussian_kernels
from sr_experiments.degradations.jpeg import compress
from sr_experiments.degradations.resize import MODES, clipped, resize
from sr_experiments.errors import UserError
from sr_experiments.pixels.draws import Draws, keys_of, keys_of_part, normal_field, rows
from sr_experiments.pixels.eightbit import round_to_8bit
from sr_experiments.pixels.imresize import imresize

STEPS = ("blur_1", "blur_2", "shrink", "fit", "noise", "jpeg")
LARGEST_KERNEL = 25
SMALLEST_SIGMA = 1e-2  # below it a kernel is a single pixel

Row = dict[str, float]


class Bsrgan(Degradation):
    """Two blurs, two steps of shrinking, noise and JPEG in a random order, and a JPEG at the end.

    Probabilities and ranges are those of the published code. Its seventh step, a camera's processing of a raw image by
    a network of its own that a quarter of the images go through, is not part of this.

    Args:
        scale: how many times smaller LR is than HR, a whole number.
        differentiable: compute JPEG by tensor operations, through which gradients go; False for libjpeg.
        jpeg: smallest and largest quality.
        noise: smallest and largest standard deviation of the noise on the scale 0..255.

    Raises:
        UserError: `scale` is no whole number of at least 1.
    """

    def __init__(
        self,
        scale: int,
        differentiable: bool = False,
        jpeg: Sequence[int] = (30, 95),
        noise: Sequence[int] = (2, 25),
    ) -> None:
        super().__init__()
        if isinstance(scale, bool) or not isinstance(scale, int | float) or scale != int(scale) or scale < 1:
            raise UserError(f"scale is {scale!r}; BSRGAN's degradation needs a whole number of at least 1.")
        self.scale = int(scale)
        self.differentiable = differentiable
        self.jpeg = _whole(check_range("jpeg", jpeg, 1, 100))
        self.noise = _whole(check_range("noise", noise, 0, 255))

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """Everything that is drawn for every sample, whether it is used or not.

        `NAME.place` is the step's place in the order, modes of resizing are indices of area, bilinear, bicubic (and 3
        for MATLAB's bicubic), `noise.kind` is 0 for gray noise, 1 for noise correlated between channels, 2 for noise
        of every channel by itself.
        """
        draws = Draws(key.cpu())
        halved = draws.chance(0.25) & (self.scale == 4)
        found = {"halved": halved, "halved.mode": draws.choice((1, 1, 1, 3))}
        scale = torch.where(halved, self.scale / 2, float(self.scale))
        places = draws.places(len(STEPS))
        shrink, fit = STEPS.index("shrink"), STEPS.index("fit")
        places[:, [shrink, fit]] = places[:, [shrink, fit]].sort(dim=1).values
        found |= {f"{name}.place": places[:, index] for index, name in enumerate(STEPS)}
        for name in ("blur_1", "blur_2"):
            found |= {f"{name}.{part}": value for part, value in _draw_blur(draws, scale).items()}
        found |= {
            "shrink.resized": draws.chance(0.75),
            "shrink.factor": 1 + draws.uniform() * (2 * scale - 1),
            "shrink.mode": draws.integer(0, 2),
            "shrink.sigma": 0.1 + draws.uniform() * (0.6 * scale - 0.1),
            "fit.mode": draws.integer(0, 2),
            "noise.level": draws.integer(*self.noise),
            "noise.kind": draws.choice((0.4, 0.2, 0.4)),
            "jpeg": draws.chance(0.9),
            "jpeg.quality": draws.integer(*self.jpeg),
            "last_jpeg.quality": draws.integer(*self.jpeg),
        }
        return found

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Make LR from HR.

        Args:
            hr: (B, 1 or 3, H, W), floating point, in [0, 1].
            key: (B,) int64, one a sample.

        Returns:
            LR (B, C, ceil(H / scale), ceil(W / scale)) of the dtype of `hr`, in [0, 1] and on 8-bit levels.

        Raises:
            UserError: HR is smaller than the largest kernel, 25 pixels.
        """
        check_kernel_fits(LARGEST_KERNEL, hr)
        keys = keys_of(hr, key)
        # Every sample has its own order of steps and its own intermediate sizes.
        samples = zip(hr.split(1), rows(self.drawn(keys)), keys.split(1), strict=True)
        return torch.cat([self._degraded(*sample) for sample in samples])

    def _degraded(self, image: Tensor, row: Row, key: Tensor) -> Tensor:
        """One image (1, C, H, W) and what was drawn for it."""
        goal = (math.ceil(image.shape[-2] / self.scale), math.ceil(image.shape[-1] / self.scale))
        scale = int(self.scale)
        if row["halved"]:
            scale //= 2
            image = _halved(image, int(row["halved.mode"]))
        size = (image.shape[-2], image.shape[-1])
        for name in sorted(STEPS, key=lambda name: row[f"{name}.place"]):
            if name in ("blur_1", "blur_2"):
                image = _blurred(image, name, row)
            elif name == "shrink" and row["shrink.resized"]:
                target = tuple(max(int(side / row["shrink.factor"]), 1) for side in size)
                image = clipped(resize(image, (target[0], target[1]), MODES[int(row["shrink.mode"])], exact_area=True))
            elif name == "shrink":
                image = blur_and_subsample(image, scale, LARGEST_KERNEL, row["shrink.sigma"], "mirror")
            elif name == "fit":
                image = clipped(_fitted(image, goal, MODES[int(row["fit.mode"])]))
            elif name == "noise":
                image = clipped(_noisy(image, row, key))
            elif row["jpeg"]:
                image = compress(image, torch.tensor([row["jpeg.quality"]]), self.differentiable)
        image = compress(image, torch.tensor([row["last_jpeg.quality"]]), self.differentiable)
        return round_to_8bit(image * 255) / 255

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return f"scale={self.scale}, differentiable={self.differentiable}, jpeg={self.jpeg}, noise={self.noise}"


def _whole(numbers: tuple[float, float]) -> tuple[int, int]:
    return math.ceil(numbers[0]), math.floor(numbers[1])


def _draw_blur(draws: Draws, scale: Tensor) -> dict[str, Tensor]:
    """Size, standard deviations and direction of a kernel: half of them have one width, half have two."""
    two, size = draws.chance(0.5), 2 * draws.integer(2, 11) + 3
    variances = [(4 + scale) * draws.uniform() for _ in range(2)]
    angle, sigma = draws.uniform(0, math.pi), (2 + 0.2 * scale) * draws.uniform()
    return {
        "size": size,
        "sigma_1": torch.where(two, variances[0].sqrt(), sigma).clamp(min=SMALLEST_SIGMA),
        "sigma_2": torch.where(two, variances[1].sqrt(), sigma).clamp(min=SMALLEST_SIGMA),
        "angle": torch.where(two, angle, 0.0),
    }


def _halved(image: Tensor, mode: int) -> Tensor:
    size = (image.shape[-2] // 2, image.shape[-1] // 2)
    if mode == len(MODES):
        return clipped(imresize(image, size=size, border="symmetric"))
    return clipped(resize(image, size, MODES[mode], exact_area=True))


def _fitted(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize to the final size; where that means to enlarge, OpenCV's area is bilinear."""
    larger = size[0] > image.shape[-2] or size[1] > image.shape[-1]
    return resize(image, size, "bilinear" if mode == "area" and larger else mode, exact_area=True)


def _blurred(image: Tensor, name: str, row: Row) -> Tensor:
    sigma_1, sigma_2, angle = (torch.tensor([row[f"{name}.{part}"]]) for part in ("sigma_1", "sigma_2", "angle"))
    return blur(image, gaussian_kernels(int(row[f"{name}.size"]), sigma_1, sigma_2, angle))


def _noisy(image: Tensor, row: Row, key: Tensor) -> Tensor:
    """Noise of one of three kinds; between channels it is correlated by a random matrix, of fixed overall strength."""
    channels = image.shape[1]
    gray, correlated = (row["noise.kind"] == kind for kind in (0, 1))
    noise = normal_field(keys_of_part(key, 0), (1 if gray else channels, *image.shape[-2:]), image.device)
    if correlated:
        # Covariance level^2 |U' D U| with U an orthogonal matrix and D of random shares, level 25 always.
        draws = Draws(keys_of_part(key, 1))
        shares, entries = (torch.cat([draws.uniform() for _ in range(n)]) for n in (channels, channels**2))
        turn = torch.linalg.svd(entries.view(channels, channels))[0]
        covariance = (turn.T @ torch.diag(shares) @ turn).abs()
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp(min=0).sqrt()
        return image + torch.einsum("dc,bchw->bdhw", root.to(noise), noise).to(image) * (25 / 255)
    return image + noise.to(image) * (row["noise.level"] / 255)
