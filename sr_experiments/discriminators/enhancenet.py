"""The discriminator of EnhanceNet: Sajjadi et al., ICCV 2017, supplement, table 1; and of SRNTT, CVPR 2019."""

from __future__ import annotations

from torch import nn

from sr_experiments.discriminators.blocks import CropDiscriminator, check_crop, conv_layer


class EnhanceNetDiscriminator(CropDiscriminator):
    """Five pairs of convolutions that halve the crop five times, without normalisation, and two dense layers.

    SRNTT's has batch normalisation and no bias in front of it, for crops of 160 (17,823,457 parameters).

    Args:
        crop_size: pixels a side of the crops, at least 32; the paper's are 128 (13,102,881 parameters).
        channels: of the first pair; sixteen times as many in the last.
        norm: `none` (the paper), `batch`, `instance` or `spectral`.
        hidden: width of the dense layer.
        head: `dense` (the paper), or `pooled`, which frees it from the crop size.
        bias: whether the convolutions have one.

    Raises:
        UserError: the crops are too small, or an option is unknown.
    """

    def __init__(
        self,
        crop_size: int,
        channels: int = 32,
        norm: str = "none",
        hidden: int = 1024,
        head: str = "dense",
        bias: bool = True,
    ) -> None:
        check_crop(crop_size, least=64 if norm == "instance" else 32)  # which needs more than one place
        layers: list[nn.Module] = []
        inputs, width, side = 3, channels, crop_size
        for _ in range(5):
            layers += [
                conv_layer(inputs, width, norm=norm, bias=bias),
                conv_layer(width, width, stride=2, norm=norm, bias=bias),
            ]
            inputs, width, side = width, 2 * width, (side + 1) // 2
        super().__init__(nn.Sequential(*layers), inputs, side, hidden, head, crop_size)
