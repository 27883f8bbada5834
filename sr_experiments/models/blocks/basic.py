"""Convolutions, the residual block, and what stands in front of a network and behind it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks.activations import relu
from sr_experiments.models.blocks.factories import ActivationFactory

# The mean colour of DIV2K, which EDSR's authors and those after them subtract.
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def conv(
    channels_in: int, channels_out: int, kernel: int = 3, *, bias: bool = True, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Convolution of stride 1 that keeps the size, padded with zeros."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels_in, channels_out, kernel, padding=padding, dilation=dilation, groups=groups, bias=bias)


class ResidualBlock(nn.Module):
    """x + residual_scale * body(x), body = conv, [norm], activation, conv, [norm], [context].

    With batch norm and PReLU it is SRResNet's block, without a norm EDSR's and EnhanceNet's, with channel attention as
    its context RCAN's.

    Args:
        features: channels of the feature map.
        activation: makes the activation from the number of channels.
        norm: makes the normalisation from the number of channels; None for no normalisation.
        residual_scale: what the residual is multiplied with before it is added.
        bias: whether the convolutions have one.
        kernel: kernel size of both convolutions.
        groups: groups of both convolutions; more than one are mixed by a third, 1x1 (CARN-M's efficient block).
        dilation: of the first convolution; the second looks at what lies between (IRCNN: Zhang et al., CVPR 2017).
        context: makes from the number of channels what sees more than a kernel does: attention, pyramid pooling.
        after: makes an activation behind the sum (CARN); None for none.

    Raises:
        UserError: groups that do not divide the features, an even kernel, or no dilation.
    """

    def __init__(
        self,
        features: int,
        *,
        activation: ActivationFactory = relu,
        norm: Callable[[int], nn.Module] | None = None,
        residual_scale: float = 1.0,
        bias: bool = True,
        kernel: int = 3,
        groups: int = 1,
        dilation: int = 1,
        context: Callable[[int], nn.Module] | None = None,
        after: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if groups < 1 or features % groups:
            raise UserError(f"block.groups={groups} must divide the {features} features of the network.")
        if kernel < 1 or kernel % 2 == 0 or dilation < 1:
            raise UserError(f"A block keeps the size with an odd kernel and a dilation >= 1, not {kernel}, {dilation}.")
        seen = [context(features)] if context else []  # drawn first: a seed then gives RCAN the weights it always had
        layers: list[nn.Module] = [conv(features, features, kernel, groups=groups, dilation=dilation, bias=bias)]
        layers += [norm(features)] if norm else []
        layers += [activation(features), conv(features, features, kernel, groups=groups, bias=bias)]
        layers += [norm(features)] if norm else []
        layers += [activation(features), conv(features, features, 1)] if groups > 1 else []
        self.body = nn.Sequential(*layers, *seen)
        self.residual_scale = residual_scale
        self.after = after() if after is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return self.after(x + self.residual_scale * self.body(x))


@torch.no_grad()
def start_small(module: nn.Module, factor: float = 0.1) -> None:
    """Draw the convolutions of `module` from Kaiming's normal distribution times `factor`, without bias.

    Deep networks without normalisation start stably this way (ESRGAN, section 3.1).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.mul_(factor)
            if layer.bias is not None:
                layer.bias.zero_()


@torch.no_grad()
def start_kaiming(module: nn.Module) -> None:
    """Draw the (transposed) convolutions of `module` from Kaiming's normal distribution, without bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()


def div2k_mean(channels: int) -> tuple[float, ...]:
    """DIV2K's mean colour for images of three channels, else its mean gray for each."""
    return DIV2K_MEAN if channels == 3 else (sum(DIV2K_MEAN) / 3,) * channels


class ShiftMean(nn.Module):
    """Subtract (sign = -1) or add (sign = +1) the mean colour of a data set.

    Args:
        mean: one value a channel, in [0, 1].
        sign: -1 in front of a network, +1 behind it.
    """

    mean: Tensor

    def __init__(self, mean: tuple[float, ...], sign: int) -> None:
        super().__init__()
        self.register_buffer("mean", sign * torch.tensor(mean).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return x + self.mean
