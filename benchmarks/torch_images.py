"""The networks and the loop of configs/gan.py and configs/dcgan.py in plain PyTorch.

The networks have jaxgan's layers and as many parameters, and a step makes the same updates: D on a
real and a generated batch, G on new codes, Adam for both, a running average of G's parameters.
PyTorch is used at its best without a compiler: fused Adam, channels last on a GPU, TF32 as in jax,
no gradients for parameters that do not move, and no wait for the device inside the loop.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2


class Crop(nn.Module):
    """Keeps the first rows and columns of a map."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [B, C, side, side]."""
        return x[:, :, : self.side, : self.side]


def mlp(widths: Sequence[int], inputs: int, outputs: int, slope: float) -> list[nn.Module]:
    """Returns fully connected layers with activations between them."""
    sizes = [inputs, *widths, outputs]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(slope) if slope else nn.ReLU()]
    return layers[:-1]


def mlp_pair(
    shape: tuple[int, ...], latent: int, of_generator: Any, of_discriminator: Any
) -> tuple[nn.Module, nn.Module]:
    """Returns G and D of fully connected layers; `shape` is (C, H, W), or (2,) for points."""
    size = math.prod(shape)
    last = [nn.Tanh()] if len(shape) == 3 else []
    generator = nn.Sequential(
        *mlp(of_generator.widths, latent, size, 0.0), *last, nn.Unflatten(1, shape)
    )
    return generator, nn.Sequential(
        nn.Flatten(), *mlp(of_discriminator.widths, size, 1, SLOPE), nn.Flatten(0)
    )


def dcgan_pair(
    shape: tuple[int, ...], latent: int, of_generator: Any, of_discriminator: Any
) -> tuple[nn.Module, nn.Module]:
    """Returns DCGAN's G and D for images of the shape (C, H, H)."""
    sides = [shape[1]]
    while sides[0] > 4:
        sides.insert(0, -(-sides[0] // 2))
    widths = [of_generator.features * 2**level for level in reversed(range(len(sides) - 1))]
    layers: list[nn.Module] = [
        nn.Linear(latent, sides[0] ** 2 * widths[0], bias=False),
        nn.Unflatten(1, (widths[0], sides[0], sides[0])),
    ]
    for before, after, side in zip(widths, [*widths[1:], shape[0]], sides[1:], strict=True):
        layers += [nn.BatchNorm2d(before), nn.ReLU()]
        up = nn.ConvTranspose2d(
            before, after, 5, 2, padding=2, output_padding=1, bias=side == sides[-1]
        )
        layers += [up, Crop(side)]
    generator = nn.Sequential(*layers, nn.Tanh())
    layers, channels = [], shape[0]
    for level in range(len(sides) - 1):
        width = of_discriminator.features * 2**level
        layers.append(nn.Conv2d(channels, width, 5, 2, padding=2, bias=not level))
        layers += [nn.BatchNorm2d(width)] * bool(level) + [nn.LeakyReLU(SLOPE)]
        channels = width
    last = nn.Linear(channels * sides[0] ** 2, 1)
    return generator, nn.Sequential(*layers, nn.Flatten(), last, nn.Flatten(0))


PAIRS = {"mlp": mlp_pair, "dcgan": dcgan_pair}


class TorchGAN:
    """The loop of a config.

    Args:
        config: of a run of `gan`.
        values: uint8 [n, H, W, C], or float32 [n, 2].
        device: of PyTorch.
    """

    def __init__(self, config: Any, values: np.ndarray, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        data = torch.from_numpy(np.array(values))
        if data.ndim == 4:
            data = data.permute(0, 3, 1, 2).contiguous()
        self.data = data.to(device)
        make = PAIRS[config.network]
        shape = tuple(data.shape[1:])
        networks = make(shape, config.latent, config.generator, config.discriminator)
        if device.type == "cuda" and data.ndim == 4:
            networks = tuple(net.to(memory_format=torch.channels_last) for net in networks)
        self.generator, self.discriminator = (net.to(device) for net in networks)
        self.average = [p.detach().clone() for p in self.generator.parameters()]
        self.optimizers = [
            torch.optim.Adam(
                network.parameters(), rate, (config.adam_b1, config.adam_b2), fused=True
            )
            for network, rate in (
                (self.generator, config.generator_learning_rate),
                (self.discriminator, config.discriminator_learning_rate),
            )
        ]

    def parameters(self) -> int:
        """Returns how many parameters the two networks have."""
        networks = (self.generator, self.discriminator)
        return sum(p.numel() for network in networks for p in network.parameters())

    def codes(self) -> torch.Tensor:
        """Returns latent codes [B, latent]."""
        size = (self.config.batch_size, self.config.latent)
        if self.config.prior == "normal":
            return torch.randn(size, device=self.device)
        return torch.rand(size, device=self.device) * 2 - 1

    def steps(self, count: int) -> tuple[float, float]:
        """Makes some steps. Returns the means of D's and of G's loss; this waits for the device."""
        size, totals = self.config.batch_size, torch.zeros(2, device=self.device)
        order = torch.randint(len(self.data), (count, size), device=self.device)
        for rows in order:
            real = self.data[rows]
            if real.dtype == torch.uint8:
                real = real.float() / 127.5 - 1
            totals += self.step(real)
        wait(self.device)
        d_loss, g_loss = (totals / count).tolist()
        return d_loss, g_loss

    def step(self, real: torch.Tensor) -> torch.Tensor:
        """Moves D, then G. Returns their losses [2]."""
        of_generator, of_discriminator = self.optimizers
        with computing_in(self.config.dtype, self.device):
            with torch.no_grad():
                fake = self.generator(self.codes())
            on_real, on_fake = self.discriminator(real), self.discriminator(fake)
            d_loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        of_discriminator.zero_grad()
        d_loss.backward()
        of_discriminator.step()
        self.discriminator.requires_grad_(False)
        with computing_in(self.config.dtype, self.device):
            g_loss = F.softplus(-self.discriminator(self.generator(self.codes()))).mean()
        of_generator.zero_grad()
        g_loss.backward()
        of_generator.step()
        self.discriminator.requires_grad_(True)
        if self.config.average_decay:
            with torch.no_grad():
                share, now = 1 - self.config.average_decay, list(self.generator.parameters())
                torch._foreach_lerp_(self.average, now, share)
        return torch.stack([d_loss.detach(), g_loss.detach()])


def place(on_gpu: bool) -> torch.device:
    """Returns PyTorch's device, set up as jax is: the GPU if jax uses one, with TF32."""
    if on_gpu:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda")
    return torch.device("cpu")


def computing_in(dtype: str, device: torch.device) -> torch.autocast:
    """Returns the context in which networks compute in a config's dtype, and losses in float32.

    It keeps the converted parameters until it is left, so parameters must not move inside it.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")


def wait(device: torch.device) -> None:
    """Waits until the device has done everything that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
