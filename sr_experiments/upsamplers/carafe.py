"""CARAFE: Wang et al., "CARAFE: Content-Aware ReAssembly of FEatures", ICCV 2019 (arXiv 1905.02188)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler, in_stages


class Reassembly(nn.Module):
    """Make every output pixel from the features around it, by weights that a small network reads off the features.

    Output pixel (i, j) is the weighted mean of the `kernel` x `kernel` input pixels around (i // factor, j // factor),
    zero beyond the border; the weights are positive, of sum 1 and the same for all channels.

    Args:
        channels: channels of the feature map.
        factor: the enlargement, a whole number.
        hidden: channels to which the small network compresses the feature map first.
        kernel: width of the neighbourhood, odd.
        encoder_kernel: width of the convolution that predicts the weights, odd.
    """

    def __init__(self, channels: int, factor: int, hidden: int, kernel: int, encoder_kernel: int) -> None:
        super().__init__()
        self.factor = factor
        self.kernel = kernel
        self.compress = nn.Conv2d(channels, hidden, 1)
        self.encode = nn.Conv2d(hidden, (factor * kernel) ** 2, encoder_kernel, padding=encoder_kernel // 2)

    def weights(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> the weights (B, kernel^2, factor * h, factor * w)."""
        return F.pixel_shuffle(self.encode(self.compress(x)), self.factor).softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, channels, factor * h, factor * w)."""
        height, width = x.shape[-2:]
        around = F.unfold(x, self.kernel, padding=self.kernel // 2)
        around = around.view(len(x), x.shape[1], self.kernel**2, height, width)
        weights = self.weights(x).unflatten(-1, (width, self.factor)).unflatten(-3, (height, self.factor))
        made = torch.einsum("bckhw,bkhiwj->bchiwj", around, weights)
        return made.reshape(len(x), x.shape[1], height * self.factor, width * self.factor)


class Carafe(Upsampler):
    """Reassemble the feature map at the larger size, then convolve it, as `ResizeConv` does after interpolation.

    Args:
        channels: channels of the feature map.
        scale: the enlargement; a power of two is reached by repeated doubling.
        out_channels: channels of the result (default: `channels`).
        activation: made anew for every stage, after the convolution; not applied to a stage that makes the image.
        hidden: channels to which the weights' network compresses the feature map.
        kernel: width of the neighbourhood that is reassembled, odd.
        encoder_kernel: width of the convolution that predicts the weights, odd.

    Raises:
        UserError: `kernel` or `encoder_kernel` is not odd.
    """

    learned = True

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        out_channels: int | None = None,
        activation: Activation | None = None,
        hidden: int = 64,
        kernel: int = 5,
        encoder_kernel: int = 3,
    ) -> None:
        super().__init__(scale)
        for name, size in (("kernel", kernel), ("encoder_kernel", encoder_kernel)):
            if size < 1 or size % 2 == 0:
                raise UserError(f"upsampler.{name}={size} must be an odd number of at least 1.")

        def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
            enlarge = Reassembly(channels_in, factor, hidden, kernel, encoder_kernel)
            return [enlarge, nn.Conv2d(channels_in, channels_out, 3, padding=1)]

        self.layers = in_stages(stage, channels=channels, scale=scale, out_channels=out_channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out_channels, scale * h, scale * w)."""
        return self.layers(x)
