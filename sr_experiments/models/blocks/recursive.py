"""Recursion: one set of convolutions applied again and again."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.models.blocks.basic import conv


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
    """(Batch norm, ReLU, convolution) twice, for several applications with the same convolutions.

    Each application has batch norms of its own, as in the authors' models of DRRN and MemNet: the statistics of one
    application do not fit another.

    Args:
        features: channels of the feature map.
        applications: how often it is used.
    """

    def __init__(self, features: int, applications: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(features, features) for _ in range(2))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(features) for _ in range(2)) for _ in range(applications)
        )
        self.activation = nn.ReLU()

    def __len__(self) -> int:
        """The number of applications."""
        return len(self.norms)

    def forward(self, x: Tensor, application: int) -> Tensor:
        """(B, features, h, w) -> the residual of one application, of the same shape."""
        norms = self.norms[application]
        assert isinstance(norms, nn.ModuleList)
        for layer, norm in zip(self.convs, norms, strict=True):
            x = layer(self.activation(norm(x)))
        return x
