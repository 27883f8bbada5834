"""PatchGAN: Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017, appendix."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.discriminators.blocks import check_crop, conv_layer


class PatchGAN(nn.Module):
    """Judges overlapping patches: a logit for every 8th pixel, each of which sees 70x70 pixels.

    Args:
        crop_size: pixels a side of the crops, at least 32; it is only checked, since any size fits from there on.
        channels: of the first layer; eight times as many in the last.
        norm: of all layers but the first and the last: `batch` (the paper), `instance`, `spectral` or `none`.

    Raises:
        UserError: the crops are too small, or `norm` is unknown.
    """

    def __init__(self, crop_size: int, channels: int = 64, norm: str = "batch") -> None:
        super().__init__()
        check_crop(crop_size, least=32)
        self.crop_size = crop_size
        # A bias before a normalisation of the features would be taken away again.
        bias = norm in ("none", "spectral")
        first_norm = norm if norm == "spectral" else "none"
        self.layers = nn.Sequential(
            conv_layer(3, channels, kernel=4, stride=2, norm=first_norm),
            conv_layer(channels, 2 * channels, kernel=4, stride=2, norm=norm, bias=bias),
            conv_layer(2 * channels, 4 * channels, kernel=4, stride=2, norm=norm, bias=bias),
            conv_layer(4 * channels, 8 * channels, kernel=4, stride=1, norm=norm, bias=bias),
            nn.Conv2d(8 * channels, 1, kernel_size=4, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, 1, H // 8 - 2, W // 8 - 2)."""
        return self.layers(images)
