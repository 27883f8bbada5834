"""Real-ESRGAN's degradation: Wang et al., ICCVW 2021 (arXiv 2107.10833): the same steps twice, then ringing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sr_experiments.degradations.base import Degradation, check_kernel_fits, check_range
from sr_experiments.degradations.blur import Form, blur, blur_and_subsample, gaussian_kernels, sinc_kernels
from sr_experiments.degradations.jpeg import compress
from sr_experiments.degradations.resize import MODES, clipped, resize
from sr_experiments.pixels.draws import Draws, keys_of, keys_of_part, normal_field, poisson_field, rows
from sr_experiments.pixels.eightbit import round_to_8bit
from sr_experiments.pixels.options import check_scale

LARGEST_KERNEL = 21
# Kinds of kernels beside the sinc filter, and their weights.
FORMS: tuple[Form, ...] = ("gaussian", "gaussian", "generalised", "generalised", "plateau", "plateau")
FORM_WEIGHTS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)  # even places: the same width in all directions
SINC_CHANCE = 0.1
SHARPEN_SIZE = 51  # its sigma is what OpenCV takes for this size
SHARPEN_SIGMA = 0.3 * ((SHARPEN_SIZE - 1) * 0.5 - 1) + 0.8

Row = dict[str, float]


@dataclass
class Order:
    """One of the two rounds of blur, resizing, noise and JPEG.

    Attributes:
        blur: how often there is a blur.
        sigma: [smallest, largest] standard deviation of a kernel.
        resize: weights of enlarging, shrinking and keeping the size.
        factor: [smallest, largest] factor of resizing.
        gaussian: [smallest, largest] level of Gaussian noise, on the scale 0..255; every second image has it.
        poisson: [smallest, largest] strength of Poisson noise, which the others have.
        gray: how often the noise is gray.
        jpeg: [smallest, largest] quality.
    """

    blur: float
    sigma: Sequence[float]
    resize: Sequence[float]
    factor: Sequence[float]
    gaussian: Sequence[float]
    poisson: Sequence[float]
    gray: float
    jpeg: Sequence[float]


FIRST = Order(1.0, (0.2, 3), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3), 0.4, (30, 95))
SECOND = Order(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5), 0.4, (30, 95))


class RealEsrgan(Degradation):
    """Blur, resizing, noise and JPEG, twice, with a sinc filter at the end, before or after the last JPEG.

    Every sample draws for itself, also the sizes in between. In the published code a batch shares those, which is why
    it mixes batches in a pool of 180 pairs (`PairPool`); with draws of their own samples need no pool to differ.

    Args:
        scale: how many times smaller LR is than HR.
        first: ranges of the first round; None for the paper's.
        second: of the second.
        final_sinc: how often there is a sinc filter at the end.
        sharpen: degrade HR sharpened, and compare SR with that too, as the published code does (see `sharpened`).
        differentiable: compute JPEG by tensor operations, as the published code does; False for libjpeg.

    Raises:
        UserError: a range is no range.
    """

    def __init__(
        self,
        scale: float,
        first: Order | None = None,
        second: Order | None = None,
        final_sinc: float = 0.8,
        sharpen: bool = True,
        differentiable: bool = True,
    ) -> None:
        super().__init__()
        check_scale(scale)
        self.scale = scale
        self.orders = (first or FIRST, second or SECOND)
        for order in self.orders:
            check_range("sigma", order.sigma, 1e-3, 100)
            check_range("factor", order.factor, 0.01, 10)
            check_range("jpeg", order.jpeg, 1, 100)
        self.final_sinc = check_range("final_sinc", final_sinc, 0, 1)[0]
        self.sharpen = sharpen
        self.differentiable = differentiable

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """Everything that is drawn for every sample, whether it is used or not.

        Forms of kernels are indices of isotropic and anisotropic Gaussian, generalised Gaussian (2, 3) and plateau
        (4, 5), 6 is the sinc filter; modes of resizing are indices of area, bilinear, bicubic.
        """
        draws = Draws(key.cpu())
        found: dict[str, Tensor] = {}
        for name, order in zip(("first", "second"), self.orders, strict=True):
            found |= {f"{name}.{part}": value for part, value in _draw_kernel(draws, order).items()}
            found |= {f"{name}.{part}": value for part, value in _draw_rest(draws, order).items()}
        found |= {
            "final.mode": draws.integer(0, 2),
            "final.sinc": draws.chance(self.final_sinc),
            "final.size": 2 * draws.integer(3, 10) + 1,
            "final.cutoff": draws.uniform(math.pi / 3, math.pi),
            "final.jpeg_first": draws.chance(0.5),
        }
        return found

    def target(self, hr: Tensor) -> Tensor:
        """HR sharpened, where `sharpen` is on (the published options `l1_gt_usm` and `percep_gt_usm`)."""
        return sharpened(hr) if self.sharpen else hr

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Make LR from HR.

        Args:
            hr: (B, 1 or 3, H, W), floating point, in [0, 1].
            key: (B,) int64, one a sample.

        Returns:
            LR (B, C, ceil(H / scale), ceil(W / scale)) of the dtype of `hr`, in [0, 1] and on 8-bit levels.

        Raises:
            UserError: HR is smaller than the largest kernel, 21 pixels.
        """
        check_kernel_fits(LARGEST_KERNEL, hr)
        keys = keys_of(hr, key)
        # Every sample has its own intermediate sizes.
        samples = zip(hr.split(1), rows(self.drawn(keys)), keys.split(1), strict=True)
        return torch.cat([self._degraded(*sample) for sample in samples])

    def _degraded(self, image: Tensor, row: Row, key: Tensor) -> Tensor:
        """One image (1, C, H, W) and what was drawn for it."""
        height, width = image.shape[-2:]
        if self.sharpen:
            image = sharpened(image)
        image = self._resized_and_noisy(image, (height, width), "first", row, keys_of_part(key, 0))
        image = self._jpeg(clipped(image), row["first.jpeg"])
        size = (height / self.scale, width / self.scale)
        image = self._resized_and_noisy(image, size, "second", row, keys_of_part(key, 1))
        if row["final.jpeg_first"]:
            image = self._jpeg(clipped(image), row["second.jpeg"])
        image = resize(image, (math.ceil(size[0]), math.ceil(size[1])), MODES[int(row["final.mode"])])
        if row["final.sinc"]:
            image = blur(image, sinc_kernels(int(row["final.size"]), torch.tensor([row["final.cutoff"]])))
        if not row["final.jpeg_first"]:
            image = self._jpeg(clipped(image), row["second.jpeg"])
        return round_to_8bit(image * 255) / 255

    def _resized_and_noisy(self, image: Tensor, size: tuple[float, float], name: str, row: Row, key: Tensor) -> Tensor:
        """Blur, resize to `size` times what was drawn, add noise: one round but for its JPEG."""
        if row[f"{name}.blur"]:
            image = blur(image, _kernel(name, row))
        target = (max(int(size[0] * row[f"{name}.factor"]), 1), max(int(size[1] * row[f"{name}.factor"]), 1))
        image = resize(image, target, MODES[int(row[f"{name}.mode"])])
        gray = bool(row[f"{name}.gray"])
        if row[f"{name}.is_gaussian"]:
            shape = (1 if gray else image.shape[1], *target)
            noise = normal_field(key, shape, image.device).to(image) * (row[f"{name}.gaussian"] / 255)
        else:
            noise = poisson_noise(image, key, gray) * row[f"{name}.poisson"]
        return clipped(image + noise)

    def _jpeg(self, image: Tensor, quality: float) -> Tensor:
        return compress(image, torch.tensor([quality]), self.differentiable)

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return (
            f"scale={self.scale}, first={self.orders[0]}, second={self.orders[1]}, final_sinc={self.final_sinc}, "
            f"sharpen={self.sharpen}, differentiable={self.differentiable}"
        )


def sharpened(images: Tensor) -> Tensor:
    """Unsharp masking: half of the difference to a wide Gaussian blur is added where the difference exceeds 10 of 255.

    Images narrower than the Gaussian, 51 pixels, are mirrored as often as it needs.

    Real-ESRGAN takes images (B, C, H, W) in [0, 1] sharpened so as what is degraded, and as targets of its pixel and
    perceptual loss.
    """
    residual = images - blur_and_subsample(images, 1, SHARPEN_SIZE, SHARPEN_SIGMA, "mirror")
    shows = (residual.abs() * 255 > 10).to(images)
    mask = blur_and_subsample(shows, 1, SHARPEN_SIZE, SHARPEN_SIGMA, "mirror")
    return mask * clipped(images + 0.5 * residual) + (1 - mask) * images


def poisson_noise(image: Tensor, key: Tensor, gray: bool) -> Tensor:
    """The noise of counting photons: one image (1, C, H, W) in [0, 1], as bright as it has different levels.

    No gradient goes through it. Gray noise is that of the luma, (1, 1, H, W).
    """
    levels = round_to_8bit(image.detach() * 255)
    if gray and image.shape[1] == 3:
        luma = torch.einsum("c,bchw->bhw", levels.new_tensor([0.2989, 0.587, 0.114]), levels)[:, None]
        levels = round_to_8bit(luma)
    full = 2.0 ** math.ceil(math.log2(len(levels.unique())))
    values = levels / 255
    return poisson_field(int(key), values * full) / full - values


def _draw_kernel(draws: Draws, order: Order) -> dict[str, Tensor]:
    """Whether and how to blur."""
    present, size = draws.chance(order.blur), 2 * draws.integer(3, 10) + 1
    is_sinc, form = draws.chance(SINC_CHANCE), draws.choice(FORM_WEIGHTS)
    cutoff = draws.uniform()
    lowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
    sigmas = [draws.uniform(*order.sigma) for _ in range(2)]
    angle = draws.uniform(-math.pi, math.pi)
    # Half of the exponents lie below 1, half above; those of plateaus are never below.
    above, share = draws.chance(0.5), draws.uniform()
    generalised = torch.where(above, 1 + 3 * share, 0.5 + 0.5 * share)
    plateau = torch.where(above, 1 + share, 1.0)
    isotropic = form % 2 == 0
    return {
        "blur": present,
        "size": size,
        "form": torch.where(is_sinc, len(FORMS), form),
        "cutoff": lowest + (math.pi - lowest) * cutoff,
        "sigma_1": sigmas[0],
        "sigma_2": torch.where(isotropic, sigmas[0], sigmas[1]),
        "angle": torch.where(isotropic, 0.0, angle),
        "beta": torch.where(form < 4, generalised, plateau),
    }


def _draw_rest(draws: Draws, order: Order) -> dict[str, Tensor]:
    """Factor and mode of resizing, noise and JPEG."""
    direction, share = draws.choice(order.resize), draws.uniform()
    smallest, largest = order.factor
    larger, smaller = 1 + (largest - 1) * share, smallest + (1 - smallest) * share
    return {
        "factor": torch.where(direction == 0, larger, torch.where(direction == 1, smaller, 1.0)),
        "mode": draws.integer(0, 2),
        "is_gaussian": draws.chance(0.5),
        "gaussian": draws.uniform(*order.gaussian),
        "poisson": draws.uniform(*order.poisson),
        "gray": draws.chance(order.gray),
        "jpeg": draws.uniform(*order.jpeg),
    }


def _kernel(name: str, row: Row) -> Tensor:
    size, form = int(row[f"{name}.size"]), int(row[f"{name}.form"])
    if form == len(FORMS):
        return sinc_kernels(size, torch.tensor([row[f"{name}.cutoff"]]))
    sigma_1, sigma_2, angle = (torch.tensor([row[f"{name}.{part}"]]) for part in ("sigma_1", "sigma_2", "angle"))
    return gaussian_kernels(size, sigma_1, sigma_2, angle, FORMS[form], row[f"{name}.beta"])
