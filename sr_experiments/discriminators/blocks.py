"""What discriminators share: a normalised convolution, and convolutions with a dense head on a crop."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sr_experiments.errors import UserError

NORMS = ("batch", "instance", "spectral", "none")


def conv_layer(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: str = "none", bias: bool = True
) -> nn.Sequential:
    """A convolution, its normalisation, and a LeakyReLU of 0.2.

    Batch normalisation keeps no running averages: a discriminator always judges a whole batch, and so what it says of a
    batch depends on nothing else. Real and generated images are separate batches.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: pixels a side; 1 pixel of padding.
        stride: 1, or 2 to halve the image.
        norm: `batch`, `instance`, `spectral` (of the weights: Miyato et al., ICLR 2018) or `none`.
        bias: whether the convolution has one.

    Raises:
        UserError: `norm` is unknown.
    """
    if norm not in NORMS:
        raise UserError(f"norm={norm} of a discriminator is unknown: use {', '.join(NORMS[:-1])} or {NORMS[-1]}.")
    convolution: nn.Module = nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=bias)
    if norm == "spectral":
        convolution = spectral_norm(convolution)
    layers = [convolution]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(outputs, track_running_stats=False))
    elif norm == "instance":
        layers.append(nn.InstanceNorm2d(outputs, affine=True))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2))


def check_crop(crop_size: int, least: int, multiple: int = 1) -> None:
    """Refuse crops that a discriminator has no use for.

    Raises:
        UserError: `crop_size` is smaller than `least`, or no multiple of `multiple`; it names the size that fits.
    """
    if crop_size < least:
        raise UserError(f"Crops of {crop_size} are too small for this discriminator: set data.crop_size={least}.")
    if crop_size % multiple:
        up = crop_size + multiple - crop_size % multiple
        raise UserError(
            f"Crops of {crop_size} do not fit this discriminator, which needs a multiple of {multiple}: set "
            f"data.crop_size={up}."
        )


class CropDiscriminator(nn.Module):
    """Convolutions, then two dense layers that give one logit a crop.

    Args:
        layers: (B, 3, c, c) -> (B, channels, side, side).
        channels: of the last layer.
        side: of the last layer's feature map, at crops of `crop_size`.
        hidden: width of the dense layer.
        head: `dense` looks at every place of the feature map, which ties the discriminator to `crop_size`; `pooled` at
            their mean, whatever the crop.
        crop_size: pixels a side of the crops.

    Raises:
        UserError: `head` is unknown.
    """

    def __init__(self, layers: nn.Sequential, channels: int, side: int, hidden: int, head: str, crop_size: int) -> None:
        super().__init__()
        if head not in ("dense", "pooled"):
            raise UserError(f"head={head} of a discriminator is unknown: use dense or pooled.")
        self.crop_size = crop_size
        self.tied = head == "dense"
        self.layers = layers
        self.gather = nn.Flatten() if self.tied else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        features = channels * side * side if self.tied else channels
        self.head = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, c, c) in [0, 1] -> logits (B, 1).

        Raises:
            UserError: the crops are of another size than the dense layer was built for.
        """
        height, width = images.shape[-2:]
        if self.tied and (height, width) != (self.crop_size, self.crop_size):
            raise UserError(
                f"The discriminator was built for crops of {self.crop_size}, but got {height}x{width}: its crop_size "
                "must be data.crop_size. A pooled head takes any size."
            )
        return self.head(self.gather(self.layers(images)))
