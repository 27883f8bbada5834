"""SRCNN. Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 2016 (arXiv 1501.00092)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.upsamplers import require_fixed
from sr_experiments.upsamplers.base import UpsamplerFactory


class SRCNN(nn.Module):
    """Three convolutions over an image that was enlarged before (framework: pre-upsampling).

    8,129 parameters with kernels 9-1-5 and 57,281 with 9-5-5 on one channel.

    Args:
        scale: the enlargement.
        upsampler: a fixed one; it stands in front of the network.
        channels: channels of the image (the paper's: 1, luma).
        features: channels after the first and the second convolution.
        kernels: kernel sizes of the three convolutions.

    Raises:
        UserError: a learned upsampler, or not three odd kernels and two numbers of features.
    """

    framework = "pre"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: Sequence[int] = (64, 32),
        kernels: Sequence[int] = (9, 5, 5),
    ) -> None:
        super().__init__()
        if len(kernels) != 3 or len(features) != 2 or any(k % 2 == 0 for k in kernels):
            raise UserError(
                f"SRCNN takes three odd kernels and two features, not {list(kernels)} and {list(features)}."
            )
        self.scale = scale
        self.channels = channels
        self.upsample = require_fixed(upsampler(channels=channels, scale=scale), "SRCNN")
        widths = [channels, *features, channels]
        layers: list[nn.Module] = []
        for kernel, wide_in, wide_out in zip(kernels, widths[:-1], widths[1:], strict=True):
            # The authors' test code continues the image at its border.
            layers += [nn.Conv2d(wide_in, wide_out, kernel, padding=kernel // 2, padding_mode="replicate"), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    @property
    def last_layer(self) -> nn.Module:
        """What makes the image; it learns at a tenth of the others' rate in the paper."""
        return self.layers[-1]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.layers(self.upsample(lr))
