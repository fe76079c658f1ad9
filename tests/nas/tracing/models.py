"""Modules as a user would write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, filters: int, **settings: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, filters, 3, padding=1, bias=False, **settings),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Skips by concatenation; a map and, where ``deep``, a coarser map as outputs."""

    def __init__(self, deep: bool = False) -> None:
        super().__init__()
        self.deep = deep
        self.down1, self.down2, self.bottom = conv(3, 16), conv(16, 32), conv(32, 64)
        self.up2, self.up1 = conv(64 + 32, 32), conv(32 + 16, 16)
        self.head = nn.Conv2d(16, 2, 1)
        self.coarse = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        c = F.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)
        d = self.up2(torch.cat([c, b], dim=1))
        e = self.up1(torch.cat([F.interpolate(d, scale_factor=2), a], dim=1))
        return (self.head(e), self.coarse(d)) if self.deep else self.head(e)


class HandWritten(nn.Module):
    """Activations written out, gates, uneven padding, names that collide with torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2)
        self.norm = nn.BatchNorm2d(16, eps=1e-3)
        self.update = nn.Conv2d(16, 32, (1, 4), padding="same")
        self.grouped = nn.Conv2d(32, 64, 3, groups=4, padding=1, bias=False)
        self.single = nn.Conv2d(64, 1, 1)
        self.widen = nn.Conv2d(1, 64, 1)
        self.gate = nn.Linear(64, 64)
        self.input = nn.Linear(64 * 4, 40)
        self.last = nn.Linear(40, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 1, 0, 1))
        x = self.norm(self.stem(x))
        x = x * F.relu6(x + 3) / 6
        x = self.update(x)
        x = x * torch.sigmoid(x)
        x = self.grouped(x)
        x = F.relu(self.widen(F.relu(self.single(x)))) + x
        gate = F.relu6(self.gate(x.mean((2, 3))) + 3) * (1 / 6)
        x = x * gate.view(-1, 64, 1, 1)
        x = F.adaptive_avg_pool2d(x, 2).flatten(1)
        return self.last(F.dropout(torch.clamp(self.input(x), 0, 6), 0.2, self.training))


class Modern(nn.Module):
    """What newer networks are made of: norms over channels, axes in another order, factors and
    summands of every channel, products of maps, dilation, activations of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 2, 2)
        self.norm = nn.LayerNorm(32, eps=1e-6)
        self.spatial = nn.Conv2d(32, 32, 3, padding=2, dilation=2, groups=32)
        self.wide, self.narrow = nn.Linear(32, 48), nn.Linear(48, 32)
        self.gamma = nn.Parameter(torch.rand(32))
        self.beta = nn.Parameter(torch.rand(1, 32, 1, 1))
        self.whole = nn.GroupNorm(1, 32)
        self.left, self.right = nn.Conv2d(32, 24, 1), nn.Conv2d(32, 24, 1)
        self.last = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).permute(0, 2, 3, 1))
        y = F.gelu(self.wide(self.spatial(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))
        x = (x + self.gamma * self.narrow(y)).permute(0, 3, 1, 2)
        x = self.whole(x) * 0.5 + self.beta
        x = F.relu6(self.left(x)) * torch.tanh(self.right(x))
        return self.last(F.elu(x).flatten(2).transpose(1, 2).mean(1))


class Parts(nn.Module):
    """Channels split off, put together and shuffled; positions that are skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 1), nn.Conv2d(3, 24, 1)
        self.inner, self.outer = nn.Conv2d(24, 32, 3, padding=1), nn.Conv2d(32, 8, 1)
        self.norm = nn.BatchNorm2d(40)
        self.last = nn.Linear(40 + 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.cat([self.a(x), self.b(x)], 1))[:, :, ::2, ::2]
        # back into the two tensors that were put together
        a, b = x.split([16, 24], dim=1)
        c = self.outer(F.relu(self.inner(b)))
        d, e = c.chunk(2, 1)
        mixed = c.view(-1, 2, 4, 16, 16).transpose(1, 2).reshape(-1, 8, 16, 16)
        x = torch.cat([d * torch.sigmoid(e) + mixed[:, 2:6], a, b], 1)
        return self.last(x.mean((2, 3)))


def build_unet() -> nn.Module:
    return UNet()


def build_nothing() -> int:
    return 3


def build_broken() -> nn.Module:
    raise RuntimeError("no weights today")
