"""The networks and the loops of configs/pix2pix.py and configs/cyclegan.py in plain PyTorch.

The networks have jaxgan's layers and the same number of parameters, and a step makes the same
updates of the same losses. As in torch_images.py, PyTorch is used at its best without a compiler.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_images import computing_in, wait

SLOPE, WIDEST, DROPPED = 0.2, 8, 3
EPSILON = 1e-5


def halving(before: int, after: int, kernel: int, bias: bool = True) -> nn.Module:
    """Returns a convolution of stride 2; the side of its map is half, rounded up."""
    return nn.Sequential(
        nn.ZeroPad2d((1, kernel - 2, 1, kernel - 2)),
        nn.Conv2d(before, after, kernel, 2, bias=bias),
    )


class Doubling(nn.Module):
    """A transposed convolution of stride 2, whose map is cut to a side."""

    def __init__(self, before: int, after: int, kernel: int, side: int, bias: bool) -> None:
        super().__init__()
        self.side = side
        self.up = nn.ConvTranspose2d(
            before, after, kernel, 2, padding=1, output_padding=4 - kernel, bias=bias
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [B, after, side, side]."""
        return self.up(x)[:, :, : self.side, : self.side]


def halves(side: int, smallest: int) -> list[int]:
    """Returns the sides of maps from the image to the smallest, each half of the one before."""
    sides = [side]
    while sides[-1] > smallest:
        sides.append(-(-sides[-1] // 2))
    return sides


class UNet(nn.Module):
    """pix2pix's generator."""

    def __init__(self, shape: tuple[int, ...], options: Any) -> None:
        super().__init__()
        channels, side = shape[:2]
        sides = halves(side, options.smallest)
        widths = [options.features * min(2**level, WIDEST) for level in range(len(sides) - 1)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (before, after) in enumerate(itertools.pairwise([channels, *widths])):
            plain = level in (0, len(widths) - 1)
            layers: list[nn.Module] = [nn.LeakyReLU(SLOPE)] * bool(level)
            layers.append(halving(before, after, 4, plain))
            if not plain:
                layers.append(nn.InstanceNorm2d(after, EPSILON, affine=True))
            self.downs.append(nn.Sequential(*layers))
        before = widths[-1]
        for level in reversed(range(len(widths))):
            after = widths[level - 1] if level else channels
            layers = [nn.ReLU(), Doubling(before, after, 4, sides[level], not level)]
            if level:
                layers.append(nn.InstanceNorm2d(after, EPSILON, affine=True))
                if len(widths) - 1 - level < DROPPED:
                    layers.append(nn.Dropout(options.dropout))
            self.ups.append(nn.Sequential(*layers))
            before = 2 * after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns translations, [B, C, S, S]."""
        maps: list[torch.Tensor] = []
        for down in self.downs:
            x = down(x)
            maps.append(x)
        x = maps.pop()
        for up in self.ups:
            x = up(x)
            if maps:
                x = torch.cat([x, maps.pop()], dim=1)
        return torch.tanh(x)


class Residual(nn.Module):
    """A residual block of CycleGAN's generator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            same(width, width, 3),
            nn.InstanceNorm2d(width, EPSILON),
            nn.ReLU(),
            same(width, width, 3),
            nn.InstanceNorm2d(width, EPSILON),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [B, width, H, W]."""
        return x + self.layers(x)


def same(before: int, after: int, kernel: int) -> nn.Conv2d:
    """Returns a convolution of stride 1 that reflects borders."""
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, padding_mode="reflect")


def resnet(shape: tuple[int, ...], options: Any) -> nn.Module:
    """Returns CycleGAN's generator."""
    channels, side = shape[:2]
    sides = [side, -(-side // 2)]
    layers: list[nn.Module] = [same(channels, options.features, 7)]
    layers += [nn.InstanceNorm2d(options.features, EPSILON), nn.ReLU()]
    widths = [options.features * 2**level for level in range(3)]
    for before, after in itertools.pairwise(widths):
        layers += [halving(before, after, 3), nn.InstanceNorm2d(after, EPSILON), nn.ReLU()]
    layers += [Residual(widths[-1]) for _ in range(options.blocks)]
    for level in (1, 0):
        layers.append(Doubling(widths[level + 1], widths[level], 3, sides[level], True))
        layers += [nn.InstanceNorm2d(widths[level], EPSILON), nn.ReLU()]
    return nn.Sequential(*layers, same(options.features, channels, 7), nn.Tanh())


def patches(channels: int, side: int, options: Any) -> nn.Module:
    """Returns the discriminator of patches."""
    strided = min(max(int(math.log2(side)) - 5, 1), 3)
    layers: list[nn.Module] = []
    before = channels
    for level in range(strided + 1):
        after = options.features * min(2**level, WIDEST)
        layers.append(
            halving(before, after, 4) if level < strided else nn.Conv2d(before, after, 4, padding=1)
        )
        if level:
            layers.append(nn.InstanceNorm2d(after, EPSILON, affine=True))
        layers.append(nn.LeakyReLU(SLOPE))
        before = after
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 4, padding=1))


Networks = dict[str, nn.Module]


def pix2pix_networks(shape: tuple[int, ...], config: Any) -> Networks:
    """Returns G and D."""
    channels = shape[0] * (2 if config.conditional else 1)
    discriminator = patches(channels, shape[1], config.discriminator)
    return {"generator": UNet(shape, config.generator), "discriminator": discriminator}


def cyclegan_networks(shape: tuple[int, ...], config: Any) -> Networks:
    """Returns G, F, D_A and D_B."""
    made: Networks = {name: resnet(shape, config.generator) for name in ("g", "f")}
    channels, side, _ = shape
    return made | {name: patches(channels, side, config.discriminator) for name in ("d_a", "d_b")}


class Pool:
    """Earlier images for a discriminator, a share for each row of a batch."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.images: list[torch.Tensor] = []

    def exchange(self, fresh: torch.Tensor) -> torch.Tensor:
        """Returns fresh or earlier images, whose places the fresh ones take."""
        if len(self.images) < self.capacity:
            self.images.append(fresh)
            if len(self.images) == self.capacity:
                self.full = torch.stack(self.images)
            return fresh
        rows = torch.arange(len(fresh), device=fresh.device)
        places = torch.randint(self.capacity, (len(fresh),), device=fresh.device)
        earlier = torch.rand(len(fresh), 1, 1, 1, device=fresh.device) < 0.5
        kept = self.full[places, rows]
        self.full[places, rows] = torch.where(earlier, fresh, kept)
        return torch.where(earlier, kept, fresh)


class TorchTranslation:
    """The loop of a config.

    Args:
        config: the config of a run of pix2pix or cyclegan.
        values: images of both domains, uint8 [n, S, S, C].
        device: PyTorch's device.
    """

    def __init__(self, config: Any, values: Sequence[np.ndarray], device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        arrays = [torch.from_numpy(np.array(each)).permute(0, 3, 1, 2) for each in values]
        self.data = [each.contiguous().to(device) for each in arrays]
        make, players, self.step = {
            "pix2pix": (pix2pix_networks, (("generator",), ("discriminator",)), self.of_pairs),
            "cyclegan": (cyclegan_networks, (("g", "f"), ("d_a", "d_b")), self.of_cycles),
        }[config.recipe]
        self.networks = make(tuple(self.data[0].shape[1:]), config)
        for network in self.networks.values():
            network.to(device)
            if device.type == "cuda":
                network.to(memory_format=torch.channels_last)
        self.of_generators, self.of_discriminators = (
            torch.optim.Adam(
                [p for name in names for p in self.networks[name].parameters()],
                config.learning_rate,
                (config.adam_b1, config.adam_b2),
                fused=True,
            )
            for names in players
        )
        self.discriminators = [self.networks[name] for name in players[1]]
        share = config.get("pool", 0) // config.batch_size
        self.pools = [Pool(share), Pool(share)]

    def parameters(self) -> int:
        """Returns how many parameters the networks have."""
        return sum(p.numel() for each in self.networks.values() for p in each.parameters())

    def steps(self, count: int) -> float:
        """Makes some steps. Returns the mean loss of D; this waits for the device."""
        total = torch.zeros((), device=self.device)
        size = self.config.batch_size
        rows = [torch.randint(len(each), (count, size), device=self.device) for each in self.data]
        if self.config.recipe == "pix2pix":
            rows[1] = rows[0]
        for places in zip(*rows, strict=True):
            chosen = (each[at] for each, at in zip(self.data, places, strict=True))
            a, b = (each.float() / 127.5 - 1 for each in chosen)
            total += self.step(a, b)
        wait(self.device)
        return float(total / count)

    def learn(self, optimizer: torch.optim.Adam, loss: torch.Tensor) -> None:
        """Moves the networks of an optimizer."""
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def require(self, needed: bool) -> None:
        """Sets whether gradients of the discriminators are needed."""
        for each in self.discriminators:
            each.requires_grad_(needed)

    def of_pairs(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Makes a step of pix2pix. Returns the loss of D []."""
        generator, discriminator = self.networks.values()

        def judge(images: torch.Tensor) -> torch.Tensor:
            seen = torch.cat([x, images], dim=1) if self.config.conditional else images
            found: torch.Tensor = discriminator(seen)
            return found

        with computing_in(self.config.dtype, self.device):
            with torch.no_grad():
                fake = generator(x)
            d_loss = (F.softplus(-judge(y)).mean() + F.softplus(judge(fake)).mean()) / 2
        self.learn(self.of_discriminators, d_loss)
        self.require(False)
        with computing_in(self.config.dtype, self.device):
            fake = generator(x)
            adversarial = F.softplus(-judge(fake)).mean()
            l1 = (fake - y).abs().mean()
        g_loss = self.config.adversarial_weight * adversarial + self.config.l1_weight * l1
        self.learn(self.of_generators, g_loss)
        self.require(True)
        return d_loss.detach()

    def of_cycles(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Makes a step of CycleGAN with least squares. Returns the loss of D_A and D_B []."""
        g, f, d_a, d_b = self.networks.values()
        self.require(False)
        with computing_in(self.config.dtype, self.device):
            fake_a, fake_b = f(b), g(a)
            cycle = (f(fake_b) - a).abs().mean() + (g(fake_a) - b).abs().mean()
            g_loss = (d_a(fake_a) - 1).square().mean() + (d_b(fake_b) - 1).square().mean()
            g_loss = g_loss + self.config.cycle_weight * cycle
            if self.config.identity_weight:
                same_images = (f(a) - a).abs().mean() + (g(b) - b).abs().mean()
                g_loss = g_loss + self.config.identity_weight * same_images
        self.learn(self.of_generators, g_loss)
        self.require(True)
        d_loss = torch.zeros((), device=self.device)
        cases = zip(self.pools, (d_a, d_b), (a, b), (fake_a, fake_b), strict=True)
        with computing_in(self.config.dtype, self.device):
            for pool, network, real, fake in cases:
                shown = pool.exchange(fake.detach())
                squares = (network(real) - 1).square().mean() + network(shown).square().mean()
                d_loss = d_loss + squares / 2
        self.learn(self.of_discriminators, d_loss)
        return d_loss.detach()
