"""What every degradation is."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError


class Degradation(nn.Module):
    """Makes LR from HR: (hr (B, C, H, W) in [0, 1], key (B,) int64 or None) -> lr.

    The result for a sample depends on the sample and its key alone, not on the rest of the batch. Without keys every
    sample has the key 0.

    Attributes:
        scale: how many times smaller the result is.
    """

    scale: float

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Degrade `hr`; subclasses say how."""
        raise TypeError(f"{type(self).__name__} does not say what it does to an image: it must define forward().")

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """What `forward` draws for samples with these keys, for the log.

        Args:
            key: (B,) int64.

        Returns:
            Name -> (B,) numbers on the CPU; nothing where nothing is random.
        """
        return {}

    def extras(self, key: Tensor) -> dict[str, Tensor]:
        """Further inputs for a network that describe the degradation of these samples: name -> (B, ...)."""
        return {}

    def target(self, hr: Tensor) -> Tensor:
        """The target of the loss terms, (B, C, H, W) as `hr`; a discriminator always gets `hr` itself."""
        return hr


def check_kernel_fits(size: int, images: Tensor) -> None:
    """Raise a `UserError` if a kernel is larger than the images (..., H, W)."""
    height, width = images.shape[-2:]
    if size > min(height, width):
        raise UserError(
            f"A kernel of {size}x{size} pixels is larger than the crop of {height}x{width}: use larger crops "
            "(data.crop_size) or a smaller kernel."
        )


def check_range(name: str, value: object, low: float, high: float) -> tuple[float, float]:
    """Read an option that is a number, or a pair of numbers between which to draw.

    Raises:
        UserError: it is neither, or not within `low` and `high`.
    """
    parts = [value, value] if isinstance(value, int | float) else list(value) if hasattr(value, "__iter__") else []
    numbers = [float(part) for part in parts if isinstance(part, int | float) and not isinstance(part, bool)]
    if len(numbers) != 2 or len(parts) != 2 or not low <= numbers[0] <= numbers[1] <= high:
        raise UserError(f"{name} is {value!r}; give a number or [smallest, largest], within {low:g} and {high:g}.")
    return numbers[0], numbers[1]
