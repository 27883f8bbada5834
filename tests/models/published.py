"""Public networks restated in a few lines: their layers' names, their range of images, small in width and depth.

Read from the code that the docstrings of our `convert_published` name; written anew, with nothing of ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = (0.4488, 0.4371, 0.4040)
WIDTH = 4


def conv(inside: int, outside: int, kernel: int = 3, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, padding=kernel // 2, groups=groups, bias=bias)


def shift(image_range: float, sign: int, mean: tuple[float, ...] = MEAN) -> nn.Conv2d:
    layer = nn.Conv2d(3, 3, 1)
    layer.weight.data = torch.eye(3).view(3, 3, 1, 1)
    layer.bias.data = sign * image_range * torch.tensor(mean)
    return layer


def shuffles(scale: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for factor in {2: [2], 3: [3], 4: [2, 2]}[scale]:
        layers += [conv(WIDTH, WIDTH * factor**2), nn.PixelShuffle(factor)]
    return layers


class Add(nn.Module):
    """x + factor * body(x), the body under a name of choice."""

    def __init__(self, name: str, body: nn.Module, factor: float = 1) -> None:
        super().__init__()
        self.add_module(name, body)
        self.name, self.factor = name, factor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * getattr(self, self.name)(x)


class EDSRPyTorch(nn.Module):
    """EDSR-PyTorch: images in [0, image_range], mean colour as a convolution."""

    def __init__(self, scale: int, blocks: int = 2, factor: float = 0.1, image_range: float = 255) -> None:
        super().__init__()
        self.image_range = image_range
        self.sub_mean, self.add_mean = shift(image_range, -1), shift(image_range, 1)
        body = [self.block(factor) for _ in range(blocks)]
        self.head = nn.Sequential(conv(3, WIDTH))
        self.body = nn.Sequential(*body, conv(WIDTH, WIDTH))
        self.tail = nn.Sequential(nn.Sequential(*shuffles(scale)), conv(WIDTH, 3))

    def block(self, factor: float) -> nn.Module:
        return Add("body", nn.Sequential(conv(WIDTH, WIDTH), nn.ReLU(), conv(WIDTH, WIDTH)), factor)

    def forward(self, image: Tensor) -> Tensor:
        x = self.head(self.sub_mean(self.image_range * image))
        return self.add_mean(self.tail(x + self.body(x))) / self.image_range


class Gate(nn.Module):
    """RCAN's channel attention."""

    def __init__(self, name: str, *before: nn.Module) -> None:
        super().__init__()
        layers = [*before, nn.Conv2d(WIDTH, 2, 1), nn.ReLU(), nn.Conv2d(2, WIDTH, 1), nn.Sigmoid()]
        self.add_module(name, nn.Sequential(*layers))
        self.name, self.pools = name, not before

    def forward(self, x: Tensor) -> Tensor:
        return x * getattr(self, self.name)(F.adaptive_avg_pool2d(x, 1) if self.pools else x)


class RCANPyTorch(EDSRPyTorch):
    """RCAN of its authors."""

    def block(self, factor: float) -> nn.Module:
        def inner() -> nn.Module:
            return Add("body", nn.Sequential(conv(WIDTH, WIDTH), nn.ReLU(), conv(WIDTH, WIDTH), Gate("conv_du")))

        return Add("body", nn.Sequential(inner(), inner(), inner(), conv(WIDTH, WIDTH)))


class NoNormBlock(nn.Module):
    """BasicSR's ResidualBlockNoBN."""

    def __init__(self, factor: float = 1) -> None:
        super().__init__()
        self.conv1, self.conv2, self.factor = conv(WIDTH, WIDTH), conv(WIDTH, WIDTH), factor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x))) * self.factor


class BasicSREDSR(nn.Module):
    """BasicSR's EDSR: images in [0, 1], multiplied with 255 inside; the mean is no part of the weights."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.conv_first, self.conv_after_body = conv(3, WIDTH), conv(WIDTH, WIDTH)
        self.body = nn.Sequential(self.block(), self.block())
        self.upsample = nn.Sequential(*shuffles(scale))
        self.conv_last = conv(WIDTH, 3)

    def block(self) -> nn.Module:
        return NoNormBlock(0.1)

    def forward(self, image: Tensor) -> Tensor:
        mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        x = self.conv_first((image - mean) * 255)
        x = x + self.conv_after_body(self.body(x))
        return self.conv_last(self.upsample(x)) / 255 + mean


class Group(nn.Module):
    """BasicSR's residual group of RCAN."""

    def __init__(self) -> None:
        super().__init__()

        def inner() -> nn.Module:
            gate = Gate("attention", nn.AdaptiveAvgPool2d(1))
            return Add("rcab", nn.Sequential(conv(WIDTH, WIDTH), nn.ReLU(), conv(WIDTH, WIDTH), gate))

        self.residual_group = nn.Sequential(inner(), inner(), inner())
        self.conv = conv(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.residual_group(x))


class BasicSRRCAN(BasicSREDSR):
    """BasicSR's RCAN."""

    def block(self) -> nn.Module:
        return Group()


class DenseLayer(nn.Module):
    """x and a convolution of it."""

    def __init__(self, inside: int, wrapped: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv(inside, WIDTH), nn.ReLU()) if wrapped else conv(inside, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, F.relu(self.conv(x))), 1)


class RDN(nn.Module):
    """RDN by the names of EDSR-PyTorch (images in [0, 255]) or of RDN-pytorch ([0, 1])."""

    def __init__(self, scale: int, port: bool) -> None:
        super().__init__()
        self.image_range, self.port = (1 if port else 255), port
        names = ["sfe1", "sfe2", "rdbs", "gff"] if port else ["SFENet1", "SFENet2", "RDBs", "GFF"]
        blocks = []
        for _ in range(2):
            layers = nn.Sequential(*(DenseLayer((k + 1) * WIDTH, not port) for k in range(3)))
            fuse = conv(4 * WIDTH, WIDTH, 1)
            blocks.append(nn.ModuleDict({"layers": layers, "lff": fuse} if port else {"convs": layers, "LFF": fuse}))
        fusion = nn.Sequential(conv(2 * WIDTH, WIDTH, 1), conv(WIDTH, WIDTH))
        for name, part in zip(names, [conv(3, WIDTH), conv(WIDTH, WIDTH), nn.ModuleList(blocks), fusion], strict=True):
            self.add_module(name, part)
        self.names = names
        if port:
            self.upscale, self.output = nn.Sequential(*shuffles(scale)), conv(WIDTH, 3)
        else:
            self.UPNet = nn.Sequential(*shuffles(scale), conv(WIDTH, 3))

    def forward(self, image: Tensor) -> Tensor:
        first, second, blocks, fuse = (getattr(self, name) for name in self.names)
        shallow = first(image * self.image_range)
        x, found = second(shallow), []
        for block in blocks:
            layers, fusion = block.values()
            x = fusion(layers(x)) + x
            found.append(x)
        x = fuse(torch.cat(found, 1)) + shallow
        return (self.output(self.upscale(x)) if self.port else self.UPNet(x)) / self.image_range


class Dense5(nn.Module):
    """ESRGAN's dense block; in the first release each convolution stands in a sequence of its own."""

    def __init__(self, growth: int, wrapped: bool = False) -> None:
        super().__init__()
        for k in range(5):
            layer = conv(WIDTH + growth * k, growth if k < 4 else WIDTH)
            self.add_module(f"conv{k + 1}", nn.Sequential(layer) if wrapped else layer)

    def forward(self, x: Tensor) -> Tensor:
        known = x
        for k in range(1, 5):
            known = torch.cat((known, F.leaky_relu(getattr(self, f"conv{k}")(known), 0.2)), 1)
        return x + 0.2 * self.conv5(known)


class RRDB(nn.Module):
    """Three dense blocks by numbered names."""

    def __init__(self, name: str, growth: int, wrapped: bool = False) -> None:
        super().__init__()
        self.name = name
        for k in (1, 2, 3):
            self.add_module(f"{name}{k}", Dense5(growth, wrapped))

    def forward(self, x: Tensor) -> Tensor:
        inner = x
        for k in (1, 2, 3):
            inner = getattr(self, f"{self.name}{k}")(inner)
        return x + 0.2 * inner


class ESRGAN(nn.Module):
    """RRDBNet x4 by the names of BasicSR or of ESRGAN's repository."""

    def __init__(self, basicsr: bool, growth: int = 3) -> None:
        super().__init__()
        theirs = ["body", "conv_body", "conv_up1", "conv_up2", "conv_hr"]
        self.names = theirs if basicsr else ["RRDB_trunk", "trunk_conv", "upconv1", "upconv2", "HRconv"]
        self.conv_first, self.conv_last = conv(3, WIDTH), conv(WIDTH, 3)
        self.add_module(self.names[0], nn.Sequential(*(RRDB("rdb" if basicsr else "RDB", growth) for _ in range(2))))
        for name in self.names[1:]:
            self.add_module(name, conv(WIDTH, WIDTH))

    def forward(self, image: Tensor) -> Tensor:
        trunk, after, up1, up2, high = (getattr(self, name) for name in self.names)
        x = self.conv_first(image)
        x = x + after(trunk(x))
        for up in (up1, up2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(high(x), 0.2))


class FirstESRGAN(nn.Module):
    """RRDBNet as ESRGAN's first release had it: one long sequence."""

    def __init__(self, stages: list[int], growth: int = 3) -> None:
        super().__init__()
        trunk = Add("sub", nn.Sequential(RRDB("RDB", growth, True), RRDB("RDB", growth, True), conv(WIDTH, WIDTH)))
        layers: list[nn.Module] = [conv(3, WIDTH), trunk]
        for factor in stages:
            layers += [nn.Upsample(scale_factor=factor, mode="nearest"), conv(WIDTH, WIDTH), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, conv(WIDTH, WIDTH), nn.LeakyReLU(0.2), conv(WIDTH, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class MSRResNet(nn.Module):
    """BasicSR's MSRResNet of today, or of 2019."""

    def __init__(self, scale: int, early: bool) -> None:
        super().__init__()
        self.scale = scale
        self.trunk, self.high = ("recon_trunk", "HRconv") if early else ("body", "conv_hr")
        self.conv_first, self.conv_last = conv(3, WIDTH), conv(WIDTH, 3)
        self.add_module(self.trunk, nn.Sequential(NoNormBlock(), NoNormBlock()))
        self.add_module(self.high, conv(WIDTH, WIDTH))
        for k, layer in enumerate(shuffles(scale)[::2]):
            self.add_module(f"upconv{k + 1}", layer)

    def forward(self, image: Tensor) -> Tensor:
        x = getattr(self, self.trunk)(F.leaky_relu(self.conv_first(image), 0.1))
        ups, factor = ([self.upconv1, self.upconv2], 2) if self.scale == 4 else ([self.upconv1], self.scale)
        for up in ups:
            x = F.leaky_relu(F.pixel_shuffle(up(x), factor), 0.1)
        base = F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return base + self.conv_last(F.leaky_relu(getattr(self, self.high)(x), 0.1))


class Cascading(nn.Module):
    """CARN's cascade of three parts b1, b2, b3 (or b1 thrice), with fusions c1, c2, c3."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        for k, part in enumerate(parts, start=1):
            self.add_module(f"b{k}", part)
        for k in (1, 2, 3):
            fuse = nn.Module()
            fuse.body = nn.Sequential(conv((k + 1) * WIDTH, WIDTH, 1), nn.ReLU())
            self.add_module(f"c{k}", fuse)
        self.parts = [f"b{k if len(parts) == 3 else 1}" for k in (1, 2, 3)]

    def cascade(self, x: Tensor) -> Tensor:
        known = out = x
        for k, part in enumerate(self.parts, start=1):
            known = torch.cat((known, getattr(self, part)(out)), 1)
            out = getattr(self, f"c{k}").body(known)
        return out

    forward = cascade


class CARNResidual(nn.Module):
    """relu(x + body(x)); grouped in CARN-M."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        layers = [conv(WIDTH, WIDTH, groups=groups), nn.ReLU(), conv(WIDTH, WIDTH, groups=groups)]
        self.body = nn.Sequential(*layers, *([nn.ReLU(), conv(WIDTH, WIDTH, 1)] if groups > 1 else []))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class CARN(Cascading):
    """CARN-pytorch: `scales` None for the network of x2, x3 and x4."""

    def __init__(self, mobile: bool, scale: int | None) -> None:
        groups = 2 if mobile else 1

        def block() -> nn.Module:
            return Cascading([CARNResidual(groups) for _ in range(1 if mobile else 3)])

        super().__init__([block(), block(), block()])
        self.sub_mean, self.add_mean = nn.Module(), nn.Module()
        self.sub_mean.shifter, self.add_mean.shifter = shift(1, -1), shift(1, 1)
        self.entry, self.exit = conv(3, WIDTH), conv(WIDTH, 3)
        self.upsample = nn.Module()
        for each in [2, 3, 4] if scale is None else [scale]:
            up = nn.Module()
            layers: list[nn.Module] = []
            for factor in {2: [2], 3: [3], 4: [2, 2]}[each]:
                layers += [conv(WIDTH, WIDTH * factor**2, groups=groups), nn.ReLU(), nn.PixelShuffle(factor)]
            up.body = nn.Sequential(*layers)
            self.upsample.add_module("up" if scale else f"up{each}", up)
        self.scale = scale

    def forward(self, image: Tensor, scale: int = 4) -> Tensor:
        x = self.cascade(self.entry(self.sub_mean.shifter(image)))
        up = self.upsample.up if self.scale else getattr(self.upsample, f"up{scale}")
        return self.add_mean.shifter(self.exit(up.body(x)))


class VDSR(nn.Module):
    """pytorch-vdsr of today: an enlarged image of luma, no biases."""

    def __init__(self) -> None:
        super().__init__()
        blocks = []
        for _ in range(3):
            block = nn.Module()
            block.conv = conv(WIDTH, WIDTH, bias=False)
            blocks.append(block)
        self.residual_layer = nn.ModuleList(blocks)
        self.input, self.output = conv(1, WIDTH, bias=False), conv(WIDTH, 1, bias=False)

    def forward(self, enlarged: Tensor) -> Tensor:
        x = F.relu(self.input(enlarged))
        for block in self.residual_layer:
            x = F.relu(block.conv(x))
        return enlarged + self.output(x)


class FirstVDSR(nn.Module):
    """pytorch-vdsr at first: one sequence."""

    def __init__(self) -> None:
        super().__init__()
        inner = [layer for _ in range(3) for layer in (nn.ReLU(), conv(WIDTH, WIDTH, bias=False))]
        last = [nn.ReLU(), conv(WIDTH, 1, bias=False)]
        self.features = nn.Sequential(conv(1, WIDTH, bias=False), *inner, *last)

    def forward(self, enlarged: Tensor) -> Tensor:
        return enlarged + self.features(enlarged)


class LapSRN(nn.Module):
    """pytorch-LapSRN x4 on luma: no biases, 4x4 transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()

        def double(channels: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)

        self.conv_input = conv(1, WIDTH, bias=False)
        for level in (1, 2):
            block = nn.Module()
            layers = [x for _ in range(3) for x in (conv(WIDTH, WIDTH, bias=False), nn.LeakyReLU(0.2))]
            block.cov_block = nn.Sequential(*layers, double(WIDTH), nn.LeakyReLU(0.2))
            self.add_module(f"convt_I{level}", double(1))
            self.add_module(f"convt_R{level}", conv(WIDTH, 1, bias=False))
            self.add_module(f"convt_F{level}", nn.Sequential(block))

    def forward(self, image: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv_input(image), 0.2)
        for level in (1, 2):
            x = getattr(self, f"convt_F{level}")[0].cov_block(x)
            image = getattr(self, f"convt_I{level}")(image) + getattr(self, f"convt_R{level}")(x)
        return image
