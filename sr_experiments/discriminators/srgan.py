"""The discriminator of SRGAN: Ledig et al., CVPR 2017, figure 4."""

from __future__ import annotations

from torch import nn

from sr_experiments.discriminators.blocks import CropDiscriminator, check_crop, conv_layer


class SRGANDiscriminator(CropDiscriminator):
    """Eight convolutions that halve the crop four times, and two dense layers.

    Args:
        crop_size: pixels a side of the crops, at least 16; the paper's are 96 (23,565,505 parameters).
        channels: of the first layer; eight times as many in the last.
        norm: of all layers but the first: `batch` (the paper), `instance`, `spectral` or `none`.
        hidden: width of the dense layer.
        head: `dense` (the paper), or `pooled`, which frees it from the crop size.

    Raises:
        UserError: the crops are too small, or an option is unknown.
    """

    def __init__(
        self, crop_size: int, channels: int = 64, norm: str = "batch", hidden: int = 1024, head: str = "dense"
    ) -> None:
        check_crop(crop_size, least=32 if norm == "instance" else 16)  # which needs more than one place
        first_norm = norm if norm == "spectral" else "none"
        layers = [conv_layer(3, channels, norm=first_norm), conv_layer(channels, channels, stride=2, norm=norm)]
        width, side = channels, (crop_size + 1) // 2
        for _ in range(3):
            layers += [conv_layer(width, 2 * width, norm=norm), conv_layer(2 * width, 2 * width, stride=2, norm=norm)]
            width, side = 2 * width, (side + 1) // 2
        super().__init__(nn.Sequential(*layers), width, side, hidden, head, crop_size)
