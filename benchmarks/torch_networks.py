"""MetricGAN+'s front end and networks in plain PyTorch, for comparisons with jaxgan's.

They compute the same functions: the same parameters give the same numbers, and
`*_parameters` turn jaxgan's parameters (or gradients) into theirs. Waveforms are [B, T], features
[B, frames, bins]. If the argument `frames` is None, there is no padding.

PyTorch is used at its best: on a CPU its LSTM is fastest on padded batches (three times as fast as
on packed ones), and its convolutions with the channels last.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

HOP = 256
WINDOW = 2 * HOP
BINS = HOP + 1
LEAK = 0.3
EPSILON = 1e-3

Arrays = dict[str, np.ndarray]
"""By the name that the parameter has in a module of this file."""


def stft(waveform: torch.Tensor) -> torch.Tensor:
    """Returns the spectrum, complex64 [B, T // HOP + 1, BINS]."""
    window = torch.hamming_window(WINDOW, periodic=False, device=waveform.device)
    spectrum = torch.stft(
        waveform, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True
    )
    return spectrum.transpose(1, 2)


def log_magnitude(waveform: torch.Tensor) -> torch.Tensor:
    """Returns log(1 + magnitude), the input of both networks."""
    return torch.log1p(stft(waveform).abs())


def resynthesise(
    feature: torch.Tensor, noisy_spectrum: torch.Tensor, lengths: torch.Tensor, samples: int
) -> torch.Tensor:
    """Returns waveforms [B, samples] with the feature's magnitudes and the noisy phase."""
    window = torch.hamming_window(WINDOW, periodic=False, device=feature.device)
    spectrum = torch.expm1(feature) * noisy_spectrum.sgn()
    waveform = torch.istft(spectrum.transpose(1, 2), WINDOW, HOP, window=window, length=samples)
    inside = torch.arange(samples, device=waveform.device) < lengths[:, None]
    return torch.where(inside, waveform, 0)


class BidirectionalLSTM(nn.Module):
    """A stack of bidirectional LSTMs; each direction starts at its end of the speech."""

    def __init__(self, bins: int, width: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(bins, width, layers, batch_first=True, bidirectional=True)
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias_hh"):  # jaxgan's LSTM has one bias
                nn.init.zeros_(parameter).requires_grad_(False)

    def forward(self, x: torch.Tensor, frames: torch.Tensor | None = None) -> torch.Tensor:
        """Maps [B, T, bins] to [B, T, 2 width]; values in the padding have no meaning."""
        if frames is None:
            return self.lstm(x)[0]
        if not x.is_cuda:
            return self._in_order(x, frames)
        packed = nn.utils.rnn.pack_padded_sequence(
            x, frames.cpu(), batch_first=True, enforce_sorted=False
        )
        hiddens, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=x.shape[1]
        )
        return hiddens

    def _in_order(self, x: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Computes what packing would, with padded LSTMs; one of them gets reversed speech."""
        steps = torch.arange(x.shape[1])
        source = torch.where(steps < frames[:, None], frames[:, None] - 1 - steps, steps)

        def reverse(values: torch.Tensor) -> torch.Tensor:
            return values.gather(1, source[..., None].expand(-1, -1, values.shape[2]))

        def one_way(values: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
            zero = values.new_zeros(1, len(values), self.lstm.hidden_size)
            return torch.lstm(values, (zero, zero), weights, True, 1, 0.0, True, False, True)[0]

        for forward, backward in zip(*[iter(self.lstm.all_weights)] * 2, strict=True):
            x = torch.cat([one_way(x, forward), reverse(one_way(reverse(x), backward))], -1)
        return x


class Generator(nn.Module):
    """Maps a feature to a mask of at least `floor`, with MetricGAN+'s learnable sigmoid."""

    def __init__(self, layers: int, width: int, dense: int, floor: float) -> None:
        super().__init__()
        self.recurrent = BidirectionalLSTM(BINS, width, layers)
        self.hidden = nn.Linear(2 * width, dense)
        self.last = nn.Linear(dense, BINS)
        self.slope = nn.Parameter(torch.ones(BINS))
        self.floor = floor

    def forward(self, feature: torch.Tensor, frames: torch.Tensor | None = None) -> torch.Tensor:
        """Maps [B, frames, BINS] to the same shape."""
        x = F.leaky_relu(self.hidden(self.recurrent(feature, frames)), LEAK)
        return (1.2 * torch.sigmoid(self.slope * self.last(x))).clamp(min=self.floor)


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value, estimated by one more iteration a call."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("u", torch.randn(outputs))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Maps a weight [out, ...] to the same shape."""
        matrix = weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(matrix.T @ self.u, dim=0)
            u = F.normalize(matrix @ v, dim=0)
            if self.training:
                self.u.copy_(u)
        return weight / (u @ (matrix @ v))


def normalised(layer: nn.Module) -> nn.Module:
    """Returns the layer with a spectrally normalised weight."""
    parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight.shape[0]))
    return layer


def masked_mean(x: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Returns the mean [B, C, 1, 1] of [B, C, T, bins] over bins and the first `frames` [B]."""
    valid = torch.arange(x.shape[2], device=x.device) < frames[:, None]
    total = torch.where(valid[:, None, :, None], x, 0).sum((2, 3), keepdim=True)
    return total / (frames * x.shape[3]).view(-1, 1, 1, 1)


class Discriminator(nn.Module):
    """Maps features of a candidate and of the clean speech to a predicted score [B].

    Args:
        channels: of the convolutions.
        kernels: their widths.
        dense: units of the dense layers after them.
        channels_last: the layout of images in memory, instead of channels first.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernels: Sequence[int],
        dense: Sequence[int],
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.scale, self.offset = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
        sizes = zip(pairwise((2, *channels)), kernels, strict=True)
        self.convolutions = nn.ModuleList(
            normalised(nn.Conv2d(*size, kernel)) for size, kernel in sizes
        )
        self.dense = nn.ModuleList(
            normalised(nn.Linear(*size)) for size in pairwise((channels[-1], *dense, 1))
        )
        self.lost = sum(kernels) - len(kernels)

    def forward(
        self, candidate: torch.Tensor, clean: torch.Tensor, frames: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Maps two features [B, frames, BINS] to predicted scores [B]."""
        if self.channels_last:
            x = torch.stack([candidate, clean], -1).permute(0, 3, 1, 2)
        else:
            x = torch.stack([candidate, clean], 1)
        x = self._normalise(x, frames)
        for layer in self.convolutions:
            x = F.leaky_relu(layer(x), LEAK)
        x = x.mean((2, 3)) if frames is None else masked_mean(x, frames - self.lost).flatten(1)
        for layer in self.dense[:-1]:
            x = F.leaky_relu(layer(x), LEAK)
        return self.dense[-1](x)[:, 0]

    def _normalise(self, x: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        if frames is None:
            variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        else:
            mean = masked_mean(x, frames)
            variance = masked_mean((x - mean) ** 2, frames)
        x = (x - mean) * torch.rsqrt(variance + EPSILON)
        return x * self.scale.view(-1, 1, 1) + self.offset.view(-1, 1, 1)


def lstm_parameters(layers: Sequence[Mapping[str, Any]], prefix: str = "") -> Arrays:
    """Returns the parameters of `BidirectionalLSTM` from those of jaxgan's layers."""
    arrays = {}
    for number, layer in enumerate(layers):
        for direction, suffix in enumerate(("", "_reverse")):
            place = f"l{number}{suffix}"
            arrays[f"{prefix}lstm.weight_ih_{place}"] = np.asarray(layer["kernel"])[direction].T
            recurrent = np.asarray(layer["recurrent_kernel"])[direction].T
            arrays[f"{prefix}lstm.weight_hh_{place}"] = recurrent
            arrays[f"{prefix}lstm.bias_ih_{place}"] = np.asarray(layer["bias"])[direction]
    return arrays


def generator_parameters(params: Mapping[str, Any]) -> Arrays:
    """Returns those of `Generator` from those of jaxgan's MaskGenerator (learnable sigmoid)."""
    names = sorted(name for name in params if name.startswith("BidirectionalLSTM"))
    arrays = lstm_parameters([params[name] for name in names], "recurrent.")
    for theirs, ours in (("hidden", "Dense_0"), ("last", "Dense_1")):
        arrays[f"{theirs}.weight"] = np.asarray(params[ours]["kernel"]).T
        arrays[f"{theirs}.bias"] = np.asarray(params[ours]["bias"])
    return arrays | {"slope": np.asarray(params["LearnableSigmoid_0"]["slope"])}


def discriminator_parameters(params: Mapping[str, Any]) -> Arrays:
    """Returns the parameters of `Discriminator` from those of jaxgan's MetricDiscriminator."""
    norm = params["ChannelNorm_0"]
    arrays = {"scale": np.asarray(norm["scale"]), "offset": np.asarray(norm["offset"])}
    for theirs, ours in (("convolutions", "Conv"), ("dense", "Dense")):
        for number in range(sum(name.startswith(ours) for name in params)):
            layer = params[f"{ours}_{number}"]
            kernel = np.moveaxis(np.asarray(layer["kernel"]), (-1, -2), (0, 1))
            arrays[f"{theirs}.{number}.parametrizations.weight.original"] = kernel
            arrays[f"{theirs}.{number}.bias"] = np.asarray(layer["bias"])
    return arrays


def discriminator_vectors(state: Mapping[str, Any]) -> Arrays:
    """Returns the power iteration vectors of `Discriminator` from jaxgan's."""
    vectors = {
        path: value[0]
        for layer in state["batch_stats"].values()
        for path, value in layer.items()
        if path.endswith("/u")
    }
    arrays = {}
    for path, vector in vectors.items():
        ours, number = path.split("/")[0].split("_")
        theirs = {"Conv": "convolutions", "Dense": "dense"}[ours]
        arrays[f"{theirs}.{number}.parametrizations.weight.0.u"] = np.asarray(vector)
    return arrays


def fill(module: nn.Module, arrays: Arrays) -> None:
    """Sets a module's named parameters to these values and leaves all others unchanged."""
    values = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    unknown = module.load_state_dict(values, strict=False).unexpected_keys
    if unknown:
        raise KeyError(f"{type(module).__name__} has no {', '.join(unknown)}")
