"""Recursion: one set of convolutions applied again and again."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks.activations import relu
from sr_experiments.models.blocks.basic import conv
from sr_experiments.models.blocks.factories import ActivationFactory


class PreActivated(nn.Sequential):
    """Batch norm, ReLU, convolution.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        kernel: kernel size.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3) -> None:
        super().__init__(nn.BatchNorm2d(channels_in), nn.ReLU(), conv(channels_in, channels_out, kernel))


class SharedUnit(nn.Module):
    """(Batch norm, activation, convolution) twice, for several applications with the same convolutions.

    Each application has batch norms of its own, as in the authors' models of DRRN and MemNet: the statistics of one
    application do not fit another. So it has activations, which may have statistics or weights as well.

    Args:
        features: channels of the feature map.
        applications: how often it is used.
        activation: makes the activations.

    Raises:
        UserError: no application.
    """

    def __init__(self, features: int, applications: int, activation: ActivationFactory = relu) -> None:
        super().__init__()
        if applications < 1:
            raise UserError(f"A shared unit is applied at least once, not {applications} times.")
        self.convs = nn.ModuleList(conv(features, features) for _ in range(2))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(features) for _ in range(2)) for _ in range(applications)
        )
        self.activations = nn.ModuleList(
            nn.ModuleList(activation(features) for _ in range(2)) for _ in range(applications)
        )

    def __len__(self) -> int:
        """The number of applications."""
        return len(self.norms)

    def forward(self, x: Tensor, application: int) -> Tensor:
        """(B, features, h, w) -> the residual of one application, of the same shape."""
        norms, activations = self.norms[application], self.activations[application]
        assert isinstance(norms, nn.ModuleList)
        assert isinstance(activations, nn.ModuleList)
        for layer, norm, activation in zip(self.convs, norms, activations, strict=True):
            x = layer(activation(norm(x)))
        return x


class SharedResidual(nn.Module):
    """One residual unit applied again and again, each time added to what the block began with.

    Tai et al., "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017, section 3.2 (there behind a
    convolution of its own). The convolutions are those of one residual block, however often they are applied.

    Args:
        features: channels of the feature map.
        activation: makes the activations.
        residual_scale: what the residual is multiplied with before it is added.
        applications: how often the unit is applied (three times, as CARN-M does with its shared blocks).

    Raises:
        UserError: no application.
    """

    def __init__(
        self,
        features: int,
        *,
        activation: ActivationFactory = relu,
        residual_scale: float = 1.0,
        applications: int = 3,
    ) -> None:
        super().__init__()
        self.unit = SharedUnit(features, applications, activation)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        result = x
        for application in range(len(self.unit)):
            result = x + self.residual_scale * self.unit(result, application)
        return result
