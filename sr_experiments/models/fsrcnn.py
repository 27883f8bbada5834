"""FSRCNN. Dong et al., "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016 (1608.00367)."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.models.blocks import conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class FSRCNN(nn.Module):
    """Extract, shrink, map, expand on the small image; the upsampler makes the large one (framework: post-upsampling).

    12,809 parameters on one channel with the paper's 9x9 transposed convolution (section 3), 12,464 of them weights
    of convolutions; the number does not depend on the scale.

    Args:
        scale: the enlargement.
        upsampler: a learned one; its last stage makes the image.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the extracted features (the paper's d).
        shrunk: channels of the mapping (s).
        layers: convolutions of the mapping (m).

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 56,
        shrunk: int = 12,
        layers: int = 4,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        steps = [(channels, features, 5), (features, shrunk, 1)]
        steps += [(shrunk, shrunk, 3)] * layers + [(shrunk, features, 1)]
        body: list[nn.Module] = []
        for channels_in, channels_out, kernel in steps:
            body += [conv(channels_in, channels_out, kernel), nn.PReLU(channels_out)]
        self.body = nn.Sequential(*body)
        self.upsample = require_learned(upsampler(channels=features, scale=scale, out_channels=channels), "FSRCNN")
        self.initialise()

    @property
    def last_layer(self) -> nn.Module:
        """What makes the image; it learns at a tenth of the others' rate in the paper."""
        return self.upsample

    def initialise(self) -> None:
        """Draw the weights as in section 3.2: for PReLU (He et al., 2015), and small ones where the image is made."""
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.25)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        *_, last = self.upsample.modules()
        if isinstance(last, nn.ConvTranspose2d):  # other upsamplers have their own way
            nn.init.normal_(last.weight, std=0.001)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.upsample(self.body(lr))
