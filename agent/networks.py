"""Convolutional encoder and decoder (Ha & Schmidhuber, 2018) and dense heads (Appendix B).

Shapes: N images, C = 3 channels, E embedding size. Weights start as Glorot-uniform and biases at zero, as in the
released code. Images travel channels-last, which is how replay holds them and what the CPU convolves fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Kernels of the decoder after its first layer, all with stride 2: from a 5x5 map to the image.
_UPSAMPLING = {64: (5, 6, 6), 32: (6, 6)}


def initialise(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases, for every layer of `module`."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.GRUCell):
            nn.init.xavier_uniform_(layer.weight_ih)
            nn.init.orthogonal_(layer.weight_hh)
            nn.init.zeros_(layer.bias_ih)
            nn.init.zeros_(layer.bias_hh)


def mixed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A network's `forward` with its products in bfloat16 once `in_bfloat16` was called; float32 goes in and out.

    Not when acting: single rows gain nothing, on a CPU they lose, and players act like the policy beside the updates.
    """

    @wraps(forward)
    def wrapped(self: Encoder | Decoder | Dense, x: Tensor) -> Tensor:
        if not self.products_in_bfloat16 or torch.is_inference_mode_enabled():
            return forward(self, x)
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):  # a graph must not record a cache
            return forward(self, x).to(x.dtype)

    return wrapped


def in_bfloat16(model: nn.Module) -> None:
    """Let the convolutions and dense heads in `model` multiply in bfloat16; everything else stays as it is."""
    for module in model.modules():
        if isinstance(module, Encoder | Decoder | Dense):
            module.products_in_bfloat16 = True


def embedding_size(image_size: int, depth: int) -> int:
    """E, the size of the encoder's output: a 2x2 map of the last convolution."""
    return 4 * depth * 2 ** len(_UPSAMPLING[image_size])


class Encoder(nn.Module):
    """Convolutions of kernel 4 and stride 2, each twice as deep as the last, ReLU: [N, S, S, 3] -> [N, E]."""

    products_in_bfloat16 = False

    def __init__(self, image_size: int, depth: int) -> None:
        super().__init__()
        channels = [3] + [depth * 2**i for i in range(len(_UPSAMPLING[image_size]) + 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 4, stride=2) for before, after in pairwise(channels))
        initialise(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @mixed
    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2)
        for convolution in self.convolutions:
            x = F.relu_(convolution(x))
        return x.permute(0, 2, 3, 1).flatten(1)


class Upsampling(nn.ConvTranspose2d):
    """A transposed convolution of stride 2: [N, C, n, n] -> [N, C', 2n + k - 2, 2n + k - 2], channels-last."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):  # which does not look into functions of our own
            assert self.bias is not None
            kind = torch.get_autocast_dtype(x.device.type)
            return _Upsample.apply(x.to(kind), self.weight.to(kind), self.bias.to(kind))
        return _Upsample.apply(x, self.weight, self.bias)


class _Upsample(torch.autograd.Function):
    """Forward a plain convolution and a shuffle of pixels, several times faster; backward as usual.

    Output pixel 2i + r is the sum over j of x[i - j] * weight[2j + r]: for each of the 2x2 phases r a convolution
    with half the kernel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        inputs, outputs, kernel, _ = weight.shape
        half = (kernel + 1) // 2
        halves = F.pad(weight, (0, 2 * half - kernel) * 2).view(inputs, outputs, half, 2, half, 2).flip(2, 4)
        halves = halves.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, half, half)
        phases = F.conv2d(x, halves, bias.repeat(4), padding=half - 1).permute(0, 2, 3, 1)
        count, size, _, _ = phases.shape
        y = phases.view(count, size, size, 2, 2, outputs).transpose(2, 3).reshape(count, 2 * size, 2 * size, outputs)
        side = 2 * x.shape[-1] + kernel - 2
        return y[:, :side, :side].permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        sizes = [weight.shape[1]], [2, 2], [0, 0], [1, 1], True, [0, 0], 1  # bias, stride, padding, dilation, ...
        return torch.ops.aten.convolution_backward(gradient, x, weight, *sizes, [True, True, True])


class Decoder(nn.Module):
    """Mean image of a model state: a dense layer of size E, then transposed convolutions: [N, F] -> [N, S, S, 3].

    The first transposed convolution acts on a 1x1 map with kernel 5, which is one matrix product: written so.
    """

    products_in_bfloat16 = False

    def __init__(self, feature_size: int, image_size: int, depth: int) -> None:
        super().__init__()
        kernels = _UPSAMPLING[image_size]
        channels = [depth * 2**i for i in reversed(range(len(kernels)))] + [3]
        size = embedding_size(image_size, depth)
        self.dense = nn.Linear(feature_size, size)
        self.first = nn.ConvTranspose2d(size, channels[0], 5, stride=2)
        self.convolutions = nn.ModuleList(
            Upsampling(before, after, kernel)
            for (before, after), kernel in zip(pairwise(channels), kernels, strict=True)
        )
        initialise(self)

    @mixed
    def forward(self, features: Tensor) -> Tensor:
        weight = self.first.weight.permute(0, 2, 3, 1)  # [E, 5, 5, C]
        x = (self.dense(features) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        x = F.relu_(x + self.first.bias).permute(0, 3, 1, 2)
        for convolution in self.convolutions[:-1]:
            x = F.relu(convolution(x))
        return self.convolutions[-1](x).permute(0, 2, 3, 1)


class Dense(nn.Sequential):
    """`layers` hidden layers of `units` with ELU, then a linear layer: [..., inputs] -> [..., outputs]."""

    products_in_bfloat16 = False

    def __init__(self, inputs: int, outputs: int, layers: int, units: int) -> None:
        sizes = [inputs] + [units] * layers
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ELU(inplace=True))]
        super().__init__(*hidden, nn.Linear(sizes[-1], outputs))
        initialise(self)

    @mixed
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Scalar(Dense):
    """A dense head whose output is the mean of a unit-variance Gaussian over one number: [..., F] -> [...]."""

    def __init__(self, inputs: int, layers: int, units: int) -> None:
        super().__init__(inputs, 1, layers, units)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).squeeze(-1)
