"""SRMD's degradation: Zhang et al., CVPR 2018 (arXiv 1712.06116): a Gaussian blur, bicubic shrinking and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from sr_experiments.degradations.base import Degradation, check_kernel_fits, check_range
from sr_experiments.degradations.blur import blur, gaussian_kernels
from sr_experiments.degradations.noise import add_noise
from sr_experiments.errors import UserError
from sr_experiments.pixels.draws import Draws, keys_of, keys_of_part
from sr_experiments.pixels.eightbit import round_to_8bit
from sr_experiments.pixels.imresize import imresize
from sr_experiments.pixels.options import check_choice, check_scale
from sr_experiments.pixels.resampling import Continuation

SrmdRounding = Literal["final", "none"]


# Up to this standard deviation, in pixels, a kernel is a single pixel: its neighbours weigh 0.03 percent.
NO_BLUR = 0.25


class BlurNoise(Degradation):
    """Blur by a Gaussian of random widths and direction, shrink bicubically, add noise of a random level.

    `extras` gives a network SRMD's description of the degradation: the kernel's coefficients in a basis of principal
    components, then the noise level on the scale 0..1. The basis depends on the size of the kernels alone, so that a
    network that was trained on many widths may be tested on one.

    Args:
        scale: how many times smaller LR is than HR.
        size: width of the kernels in HR pixels, an odd number.
        sigma: standard deviations of the kernels, [smallest, largest]; None for [0.2, scale], the paper's.
        anisotropic: how often a kernel has two widths and a direction.
        noise: standard deviations of the noise on the scale 0..255, [smallest, largest].
        components: number of kernel coefficients in the description.
        border: how the image continues under a kernel; 'wrap' is that of the published code, others are 'clamp',
            'symmetric' and 'mirror'.
        rounding: 'final' rounds LR to 8 bits, 'none' leaves it as it is.

    Raises:
        UserError: an option is not one of those named above.
    """

    basis: Tensor

    def __init__(
        self,
        scale: float,
        size: int = 15,
        sigma: float | Sequence[float] | None = None,
        anisotropic: float = 0.5,
        noise: float | Sequence[float] = (0, 75),
        components: int = 15,
        border: Continuation = "wrap",
        rounding: SrmdRounding = "final",
    ) -> None:
        super().__init__()
        check_scale(scale)
        check_choice("border", border, get_args(Continuation))
        check_choice("rounding", rounding, get_args(SrmdRounding))
        if size < 1 or size % 2 == 0:
            raise UserError(f"size is {size!r}; give the width of the kernels, an odd number of at least 1.")
        if not 1 <= components <= size**2:
            raise UserError(f"components is {components!r}; a kernel of {size}x{size} has 1 to {size**2}.")
        self.scale = scale
        self.size = size
        self.sigma = check_range("sigma", [min(0.2, scale), scale] if sigma is None else sigma, 1e-3, 1e3)
        self.anisotropic = check_range("anisotropic", anisotropic, 0, 1)[0]
        self.noise = check_range("noise", noise, 0, 255)
        self.components = components
        self.border = border
        self.rounding = rounding
        # Not saved in checkpoints: it follows from the options.
        # It spans Gaussians up to the widest that the kernel has room for, two standard deviations on either side.
        basis = principal_components(size, 0.2, max(size / 4, 0.2))[:components]
        self.register_buffer("basis", basis, persistent=False)

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """Both standard deviations and the direction of every sample's kernel, and its noise level."""
        draws = Draws(key.cpu())
        two = draws.chance(self.anisotropic)
        sigma_1, sigma_2 = draws.uniform(*self.sigma), draws.uniform(*self.sigma)
        angle, noise = draws.uniform(0, math.pi), draws.uniform(*self.noise)
        return {
            "sigma_1": sigma_1,
            "sigma_2": torch.where(two, sigma_2, sigma_1),
            "angle": torch.where(two, angle, 0.0),
            "noise": noise,
        }

    def kernels(self, key: Tensor) -> Tensor:
        """The blur kernels (B, size, size) of samples with these keys, float64 of sum 1 on the CPU."""
        drawn = self.drawn(key)
        return gaussian_kernels(self.size, drawn["sigma_1"], drawn["sigma_2"], drawn["angle"])

    def extras(self, key: Tensor) -> dict[str, Tensor]:
        """`degradation_map`, (B, components + 1) float32: the kernel's coefficients and the noise level / 255."""
        keys = key.cpu()
        return {"degradation_map": self._map(self.kernels(keys), self.drawn(keys)["noise"]).to(key.device)}

    def map_of(self, sigma: float = 0, noise: float = 0) -> Tensor:
        """The description of an isotropic blur and noise for a network, (1, components + 1) float32.

        Args:
            sigma: standard deviation of the blur in HR pixels; 0 for none.
            noise: standard deviation of the noise on the scale 0..255.

        Raises:
            UserError: a number lies outside the range that is drawn here, on which a network was trained.
        """
        ranges = {"blur": (sigma, 0 if self.sigma[0] <= NO_BLUR else self.sigma[0], self.sigma[1])}
        ranges["noise"] = (noise, *self.noise)
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise UserError(f"the network was trained for a {name} from {low:g} to {high:g}, not {value:g}.")
        width = torch.tensor([max(sigma, 1e-3)], dtype=torch.float64)
        return self._map(gaussian_kernels(self.size, width, width, torch.zeros(1)), torch.tensor([float(noise)]))

    def _map(self, kernels: Tensor, noise: Tensor) -> Tensor:
        coefficients = kernels.flatten(1) @ self.basis.cpu().T
        return torch.cat([coefficients, noise.double()[:, None] / 255], dim=1).float()

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Make LR from HR.

        Args:
            hr: (B, C, H, W), floating point, in [0, 1].
            key: (B,) int64, one a sample.

        Returns:
            LR (B, C, ceil(H / scale), ceil(W / scale)), in [0, 1] if `rounding` is on.

        Raises:
            UserError: the kernel is larger than the image.
        """
        check_kernel_fits(self.size, hr)
        keys = keys_of(hr, key)
        lr = imresize(blur(hr, self.kernels(keys), self.border), scale=1 / self.scale)
        lr = add_noise(lr, keys_of_part(keys, 0), self.drawn(keys)["noise"], rounding=False)
        return lr if self.rounding == "none" else round_to_8bit(lr * 255) / 255

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return (
            f"scale={self.scale}, size={self.size}, sigma={self.sigma}, anisotropic={self.anisotropic}, "
            f"noise={self.noise}, components={self.components}, border={self.border}, rounding={self.rounding}"
        )


@lru_cache(maxsize=4)
def principal_components(size: int, smallest: float, largest: float) -> Tensor:
    """An orthonormal basis of kernels, most important direction first, (size^2, size^2) float64.

    It is that of Gaussians whose two standard deviations and direction lie on an even grid; each direction points to
    where its largest element is positive.
    """
    widths = torch.linspace(smallest, largest, 12, dtype=torch.float64)
    angles = torch.arange(16, dtype=torch.float64) * (math.pi / 16)
    first, second, angle = (values.flatten() for values in torch.meshgrid(widths, widths, angles, indexing="ij"))
    kernels = gaussian_kernels(size, first, second, angle).flatten(1)
    basis = torch.linalg.eigh(kernels.T @ kernels).eigenvectors.T.flip(0)
    largest_element = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    return basis * largest_element.sign()
