"""The noise-conditional score network: a dilated RefineNet with conditional instance normalization++.

Song and Ermon 2019 (arXiv 1907.05600, appendix A). Without `levels` the norms do not depend on the noise level, as in
NCSNv2 (Song and Ermon 2020, arXiv 2006.09011, section 3.3; the caller divides its output by sigma); the published
networks of NCSNv2 also have no norms in the decoder, `decoder_norms=False`.
The keys of the state dict are those of the authors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from restorekit.core.config import Config
from restorekit.nets.initialization import new_embedding, normal_

EPS = 1e-5
POOLS = 2  # number of stages of chained residual pooling
UNITS = 2  # number of residual units per input of a refine block


class Stage(NamedTuple):
    """One stage of the encoder, and the refine block with its result."""

    name: str
    width: int
    """Number of output channels, in units of `features`."""
    dilation: int
    refine: str
    """Name of the refine block that receives the output of this stage."""
    refined: int
    """Number of output channels of that block, in units of `features`."""


PLAIN = (
    Stage("res1", 1, 1, "refine4", 1),
    Stage("res2", 2, 1, "refine3", 1),
    Stage("res3", 2, 2, "refine2", 2),
    Stage("res4", 2, 4, "refine1", 2),
)
DEEPER = (
    Stage("res1", 1, 1, "refine5", 1),
    Stage("res2", 2, 1, "refine4", 1),
    Stage("res3", 2, 1, "refine3", 2),
    Stage("res4", 4, 2, "refine2", 2),
    Stage("res5", 4, 4, "refine1", 4),
)
DEEPEST = (*DEEPER[:3], Stage("res31", 2, 1, "refine31", 2), *DEEPER[3:])


class NCSNConfig(Config):
    """Architecture of the network."""

    channels: int = Field(3, ge=1, le=1024)
    features: int = Field(64, ge=2, le=4096)
    """Number of channels at full resolution ("ngf"); twice as many at half resolution."""
    levels: int | None = Field(10, ge=1, le=10_000)
    """Number of noise levels, each with separate norms; null for NCSNv2."""
    rescale: bool = True
    """Scale the input from [0, 1] to [-1, 1]; false for logit-transformed data."""
    decoder_norms: bool = True
    """Norms and mean pooling in the refine blocks (NCSN); false for no norms and max pooling (NCSNv2)."""
    depth: Literal["plain", "deeper", "deepest"] = "plain"
    """Number of stages: 4, 5 or 6; the last two are those of NCSNv2 for images of 96 to 128 and of 256 pixels."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the encoder, from the input to the deepest level."""
        return {"plain": PLAIN, "deeper": DEEPER, "deepest": DEEPEST}[self.depth]

    @property
    def factor(self) -> int:
        """Height and width must be multiples of this."""
        return {"plain": 2, "deeper": 4, "deepest": 8}[self.depth]


class InstanceNormPlus(nn.Module):
    """gamma * (IN(x) + alpha * m) + beta, with m the spatial means standardized over the channels (appendix A.1).

    With levels, a row of `embed` contains [gamma, alpha, beta] of one level.
    """

    def __init__(self, channels: int, levels: int | None) -> None:
        super().__init__()
        if levels is None:
            self.embed = None
            self.gamma = nn.Parameter(1 + 0.02 * torch.randn(channels))
            self.alpha = nn.Parameter(1 + 0.02 * torch.randn(channels))
            self.beta = nn.Parameter(torch.zeros(channels))
        else:
            self.embed = new_embedding(levels, 3 * channels)
            normal_(self.embed.weight[:, : 2 * channels], 1, 0.02)
            nn.init.zeros_(self.embed.weight[:, 2 * channels :])

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x: (N, C, H, W). label: (N,) int64, ignored without levels."""
        if self.embed is None:
            gamma, alpha, beta = self.gamma, self.alpha, self.beta
        else:
            gamma, alpha, beta = self.embed(label).chunk(3, dim=-1)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        mean = _mean(pixels)
        centered = pixels - mean[:, None].to(x)
        variance, center = torch.var_mean(mean, 1, keepdim=True)
        shift = gamma * alpha * (mean - center) / (variance + EPS).sqrt() + beta
        scale = gamma * (_mean(centered.square()) + EPS).rsqrt()
        out = torch.addcmul(shift[:, None].to(x), centered, scale[:, None].to(x))
        return out.reshape(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _mean(pixels: Tensor) -> Tensor:
    """Return the means (N, C), float32, over the pixels of (N, H W, C).

    A product with ones; in bfloat16 on a CPU this is 12 times as fast as torch.var_mean and its gradient.
    """
    ones = pixels.new_ones(pixels.shape[0], 1, pixels.shape[1])
    total: Tensor = torch.bmm(ones, pixels)[:, 0].float()
    return total / pixels.shape[1]


class NoNorm(nn.Module):
    """The input, unchanged."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return x."""
        return x


def _decoder_norm(channels: int, config: NCSNConfig) -> nn.Module:
    return InstanceNormPlus(channels, config.levels) if config.decoder_norms else NoNorm()


class MeanPoolConv(nn.Module):
    """A convolution and 2 x 2 average pooling."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width."""
        return F.avg_pool2d(self.conv(x), 2)


class Residual(nn.Module):
    """Residual block of two (norm, ELU, conv); the first block of a stage halves the size, unless it is dilated."""

    def __init__(self, channels: int, out: int, config: NCSNConfig, *, dilation: int = 1, first: bool = False) -> None:
        super().__init__()
        halves = first and dilation == 1
        self.normalize1 = InstanceNormPlus(channels, config.levels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.normalize2 = InstanceNormPlus(channels, config.levels)
        dilated = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.conv2 = MeanPoolConv(channels, out, 3) if halves else dilated
        self.shortcut: nn.Module | None = None
        if first:
            across = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
            self.shortcut = MeanPoolConv(channels, out, 1) if halves else across

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, out, H, W) or (N, out, H/2, W/2)."""
        h: Tensor = self.conv1(F.elu(self.normalize1(x, label)))
        h = self.conv2(F.elu(self.normalize2(h, label)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Units(nn.Module):
    """Residual units of two (norm, ELU, conv) each."""

    def __init__(self, channels: int, count: int, config: NCSNConfig) -> None:
        super().__init__()
        self.names = [[f"{unit}_{half}" for half in (1, 2)] for unit in range(1, count + 1)]
        for name in (name for unit in self.names for name in unit):
            self.add_module(f"{name}_norm", _decoder_norm(channels, config))
            self.add_module(f"{name}_conv", nn.Conv2d(channels, channels, 3, padding=1, bias=False))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        for unit in self.names:
            h = x
            for name in unit:
                h = self.get_submodule(f"{name}_conv")(F.elu(self.get_submodule(f"{name}_norm")(h, label)))
            x = x + h
        return x


class Fusion(nn.Module):
    """Norm and convolution of every input, upsampled to the same size and added."""

    def __init__(self, inputs: Sequence[int], out: int, config: NCSNConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleList(_decoder_norm(channels, config) for channels in inputs)
        self.convs = nn.ModuleList(nn.Conv2d(channels, out, 3, padding=1) for channels in inputs)

    def forward(self, inputs: Sequence[Tensor], label: Tensor) -> Tensor:
        """The first input has the size of the result."""
        size = inputs[0].shape[-2:]
        total: Tensor | None = None
        for norm, conv, x in zip(self.norms, self.convs, inputs, strict=True):
            h = conv(norm(x, label))
            if h.shape[-2:] != size:
                h = F.interpolate(h, size, mode="bilinear", align_corners=True)
            total = h if total is None else total + h
        assert total is not None
        return total


class ChainedPooling(nn.Module):
    """ELU and stages of (norm, 5 x 5 pooling, convolution), each added to the sum of the stages before it."""

    def __init__(self, channels: int, config: NCSNConfig) -> None:
        super().__init__()
        self.pool = F.avg_pool2d if config.decoder_norms else F.max_pool2d
        self.norms = nn.ModuleList(_decoder_norm(channels, config) for _ in range(POOLS))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(POOLS))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        x = path = F.elu(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            path = conv(self.pool(norm(path, label), 5, stride=1, padding=2))
            x = x + path
        return x


class Refine(nn.Module):
    """One block of RefineNet (Lin et al. 2017, arXiv 1611.06612): units, fusion, chained pooling, output units."""

    def __init__(self, inputs: Sequence[int], out: int, config: NCSNConfig, *, last: bool = False) -> None:
        super().__init__()
        self.adapt_convs = nn.ModuleList(Units(channels, UNITS, config) for channels in inputs)
        self.msf = Fusion(inputs, out, config) if len(inputs) > 1 else None
        self.crp = ChainedPooling(out, config)
        self.output_convs = Units(out, 3 if last else 1, config)

    def forward(self, inputs: Sequence[Tensor], label: Tensor) -> Tensor:
        """The first input has the size of the result."""
        adapted = [units(x, label) for units, x in zip(self.adapt_convs, inputs, strict=True)]
        fused = adapted[0] if self.msf is None else self.msf(adapted, label)
        return self.output_convs(self.crp(fused, label), label)  # type: ignore[no-any-return]


class NCSN(nn.Module):
    """score = net(x, label), for images x in [0, 1].

    The score is not divided by sigma. x: (N, C, H, W) with H and W multiples of `config.factor`. label: (N,) int64, 0
    for the largest sigma. Returns like x.
    """

    def __init__(self, config: NCSNConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        self.begin_conv = nn.Conv2d(config.channels, features, 3, padding=1)
        width = 1
        for stage in config.stages:
            self.add_module(stage.name, self._stage(width * features, stage.width * features, stage))
            width = stage.width
        inputs: list[int] = []
        for stage in reversed(config.stages):
            inputs = [stage.width * features, *inputs]
            out = stage.refined * features
            self.add_module(stage.refine, Refine(inputs, out, config, last=stage is config.stages[0]))
            inputs = [out]
        self.normalizer = InstanceNormPlus(features, config.levels)
        self.end_conv = nn.Conv2d(features, config.channels, 3, padding=1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """See the class."""
        h = self.begin_conv(2 * x - 1 if self.config.rescale else x)
        features = []
        for stage in self.config.stages:
            for block in self.get_submodule(stage.name).children():
                h = block(h, label)
            features.append(h)
        refined: list[Tensor] = []
        for stage in reversed(self.config.stages):
            refined = [self.get_submodule(stage.refine)([features.pop(), *refined], label)]
        return self.end_conv(F.elu(self.normalizer(refined[0], label)))  # type: ignore[no-any-return]

    def _stage(self, channels: int, out: int, stage: Stage) -> nn.ModuleList:
        first = stage is not self.config.stages[0]
        return nn.ModuleList(
            [
                Residual(channels, out, self.config, dilation=stage.dilation, first=first),
                Residual(out, out, self.config, dilation=stage.dilation),
            ]
        )
