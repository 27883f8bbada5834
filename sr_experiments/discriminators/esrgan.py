"""The discriminator of ESRGAN: Wang et al., ECCV Workshops 2018, as the authors' code has it."""

from __future__ import annotations

from torch import nn

from sr_experiments.discriminators.blocks import CropDiscriminator, check_crop, conv_layer


class ESRGANDiscriminator(CropDiscriminator):
    """Five pairs of a 3x3 and a halving 4x4 convolution in the manner of VGG, and two dense layers.

    Args:
        crop_size: pixels a side of the crops, at least 32; the paper's are 128 (14,499,401 parameters).
        channels: of the first pair; eight times as many in the last two.
        norm: of all layers but the first: `batch` (the paper), `instance`, `spectral` or `none`.
        hidden: width of the dense layer.
        head: `dense` (the paper), or `pooled`, which frees it from the crop size.

    Raises:
        UserError: the crops are too small, or an option is unknown.
    """

    def __init__(
        self, crop_size: int, channels: int = 64, norm: str = "batch", hidden: int = 100, head: str = "dense"
    ) -> None:
        check_crop(crop_size, least=64 if norm == "instance" else 32)  # which needs more than one place
        layers: list[nn.Module] = []
        inputs, side = 3, crop_size
        for factor in (1, 2, 4, 8, 8):
            width = factor * channels
            is_first = inputs == 3
            first_norm = "none" if is_first and norm != "spectral" else norm
            # A bias before a normalisation would be taken away again.
            layers.append(conv_layer(inputs, width, norm=first_norm, bias=is_first or norm == "none"))
            layers.append(conv_layer(width, width, kernel=4, stride=2, norm=norm, bias=norm == "none"))
            inputs, side = width, side // 2
        super().__init__(nn.Sequential(*layers), inputs, side, hidden, head, crop_size)
