"""The U-Net of Ho et al. 2020 (arXiv 2006.11239) and of guided diffusion (Dhariwal and Nichol, arXiv 2105.05233).

The keys of the state dict are those of the published checkpoints of guided-diffusion (`input_blocks.I.J...`,
`middle_block.J...`, `output_blocks.I.J...`, `time_embed`, `label_emb`, `out`), which load without conversion;
`restorekit.models.keymaps` converts those of the PyTorch port of Ho et al.'s code and of diffusers.

Length: the configuration and its checks are next to the network that they describe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restorekit.core.config import Config
from restorekit.nets.inference import add, is_cpu_inference, silu, transposed_weight
from restorekit.nets.initialization import new_embedding
from restorekit.nets.noise_estimator import NoiseEstimator

GROUPS = 32


class EncoderConfig(Config):
    """Architecture of the encoder, which U-Nets and classifiers share.

    The defaults are those of guided diffusion; the choices of Ho et al. are marked. The upper bounds only exclude
    damaged files.
    """

    in_channels: int = Field(3, ge=1, le=1024)
    channels: int = Field(64, ge=GROUPS, le=4096, multiple_of=GROUPS)
    multipliers: tuple[Annotated[int | float, Field(gt=0, le=64)], ...] = Field(
        (1, 2, 2, 2), min_length=1, max_length=8
    )
    """Number of channels of every level, in units of `channels`; guided diffusion for 512 pixels starts with 0.5."""
    blocks: int = Field(2, ge=1, le=16)
    attention: tuple[Annotated[int, Field(ge=1, le=128)], ...] = Field((), max_length=8)
    """Downsampling factors at which attention follows each residual block."""
    middle_attention: bool = True
    heads: int = Field(4, ge=1, le=4096)
    head_channels: int | None = Field(None, ge=1, le=4096)
    """Number of channels per head; overrides `heads`."""
    attention_order: Literal["heads-first", "qkv-first"] = "heads-first"
    """Layout of the q, k, v channels: the legacy order of guided-diffusion, or its new order."""
    embedding: Literal["additive", "scale-shift"] = "scale-shift"
    """additive: the time embedding is added before the second norm (Ho et al.); scale-shift: it scales and shifts after
    the norm (AdaGN)."""
    resample: Literal["conv", "block", "pool"] = "conv"
    """Between levels: a convolution (Ho et al.), residual blocks (BigGAN), or neither (`conv_resample=False`): mean
    pooling and nearest-neighbour upsampling."""
    frequencies: Literal["cos-sin", "sin-cos"] = "cos-sin"
    """sin-cos is that of Ho et al., with the divisor half - 1."""
    down_padding: Literal["both", "right-bottom"] = "both"
    """right-bottom is that of Ho et al."""
    norm: Literal["group", "layer", "none"] = "group"
    """group: group norm; layer: layer norm over the channels of each pixel. With layer or none, and without attention,
    an output pixel depends on a bounded neighbourhood only."""
    norm_eps: float = Field(1e-5, ge=1e-12, le=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    @property
    def factor(self) -> int:
        """Height and width must be multiples of this."""
        return 1 << (len(self.multipliers) - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of channels of every level."""
        return tuple(int(multiplier * self.channels) for multiplier in self.multipliers)

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        for multiplier in self.multipliers:
            if multiplier * self.channels % GROUPS:
                found = f"net.multipliers gives {multiplier * self.channels:g} channels"
                raise ValueError(f"{found}, allowed: multiples of {GROUPS}")
        return self

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        widths = [width for level, width in enumerate(self.widths) if 2**level in self.attention]
        for width in [*widths, *([self.widths[-1]] if self.middle_attention else [])]:
            heads = self.heads if self.head_channels is None else width // self.head_channels
            if heads < 1 or width % heads:
                name = "heads" if self.head_channels is None else "head_channels"
                found = f"net.{name} is {getattr(self, name)}"
                raise ValueError(f"{found}, allowed: divisors of {width}, the number of channels with attention")
        return self


class UNetConfig(EncoderConfig):
    """Architecture of a U-Net."""

    out_channels: int = Field(3, ge=1, le=2048)
    classes: int | None = Field(None, ge=1, le=1_000_000)
    noise_estimator: int | None = Field(None, ge=8, le=1024)
    """Number of features of a network that estimates the noise level, which makes a prior blind; null for none."""
    low_res: bool = False
    """Concatenate a bilinearly upsampled low-resolution image to x (super-resolution network of guided-diffusion)."""

    @property
    def is_local(self) -> bool:
        """True if an output pixel depends on a bounded neighbourhood only, whatever the size of the image."""
        return not self.attention and not self.middle_attention and self.norm != "group"


def timestep_embedding(t: Tensor, width: int, order: Literal["cos-sin", "sin-cos"]) -> Tensor:
    """Return the sinusoidal embedding of (fractional) steps t (N,): (N, width), float32.

    Vaswani et al. 2017 (arXiv 1706.03762), section 3.5.
    """
    half = width // 2
    divisor = half if order == "cos-sin" else half - 1
    rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / divisor)
    angles = t.float()[:, None] * rates
    parts = [angles.cos(), angles.sin()] if order == "cos-sin" else [angles.sin(), angles.cos()]
    return F.pad(torch.cat(parts, dim=1), (0, width % 2))


def norm_layer(width: int, config: EncoderConfig) -> nn.Module:
    """Return the norm of a configuration for `width` channels."""
    if config.norm == "layer":
        return PixelNorm(width, eps=config.norm_eps)
    return nn.GroupNorm(GROUPS, width, eps=config.norm_eps) if config.norm == "group" else nn.Identity()


class PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (N, C, ...); fast for channels-last memory format."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def scale_and_shift(norm: nn.Module, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return scale * norm(h) + shift; h (N, C, H, W), scale and shift (N or 1, C, 1, 1)."""
    if isinstance(norm, PixelNorm) and len(scale) == 1 and is_cpu_inference(h):
        weight, bias = norm.weight * scale.flatten(), norm.bias * scale.flatten() + shift.flatten()
        return F.layer_norm(h.movedim(1, -1), norm.normalized_shape, weight, bias, norm.eps).movedim(-1, 1)
    return torch.addcmul(shift, norm(h), scale)


def _zeroed(layer: nn.Conv1d | nn.Conv2d) -> nn.Module:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Downsample(nn.Module):
    """A strided convolution, or mean pooling, that halves height and width."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        pools = config.resample == "pool"
        self.one_sided = config.down_padding == "right-bottom" and not pools
        conv = nn.Conv2d(width, width, 3, stride=2, padding=0 if self.one_sided else 1)
        self.op = nn.AvgPool2d(2) if pools else conv

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        return self.op(F.pad(x, (0, 1, 0, 1)) if self.one_sided else x)  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """Nearest-neighbour upsampling by a factor of 2, and a convolution unless resampling is by pooling."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.conv = None if config.resample == "pool" else nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        if self.conv is None:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        if is_cpu_inference(x):
            return F.conv_transpose2d(x, transposed_weight(self.conv.weight), self.conv.bias, stride=2, padding=1)
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """(norm, SiLU, conv), embedding, (norm, SiLU, dropout, conv) and a shortcut; can resample before the first conv."""

    def __init__(
        self, width: int, out: int, embedding: int, config: EncoderConfig, resample: Literal["up", "down"] | None = None
    ) -> None:
        super().__init__()
        self.resample = resample
        self.scale_shift = config.embedding == "scale-shift"
        self.in_layers = nn.Sequential(norm_layer(width, config), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out if self.scale_shift else out))
        last = _zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.out_layers = nn.Sequential(norm_layer(out, config), nn.SiLU(), nn.Dropout(config.dropout), last)
        self.skip_connection = nn.Identity() if width == out else nn.Conv2d(width, out, 1)

    def _resample(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.resample == "down" else x

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (N, C, H, W), embedding (N, E) -> (N, C', H', W')."""
        norm, _, conv = self.in_layers
        h = conv(self._resample(silu(norm(x), keep=x)))
        emb = self.emb_layers(embedding).to(h.dtype)[..., None, None]
        norm, _, dropout, conv = self.out_layers
        if self.scale_shift:
            scale, shift = emb.chunk(2, dim=1)
            h = scale_and_shift(norm, h, 1 + scale, shift)
        else:
            h = norm(h + emb)
        return add(conv(dropout(silu(h, keep=x))), self.skip_connection(self._resample(x)))


class AttentionBlock(nn.Module):
    """Self-attention over all positions, with a residual connection."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads if config.head_channels is None else width // config.head_channels
        if self.heads < 1 or width % self.heads:
            raise ValueError(f"attention: {width} channels cannot be split into {self.heads} heads")
        self.order = config.attention_order
        self.norm = norm_layer(width, config)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = _zeroed(nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        n, c, *_ = x.shape
        qkv = self.qkv(self.norm(x.flatten(2)))
        if self.order == "heads-first":
            q, k, v = qkv.reshape(n, self.heads, 3, c // self.heads, -1).transpose(-1, -2).unbind(2)
        else:
            q, k, v = qkv.reshape(n, 3, self.heads, c // self.heads, -1).transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, -1)
        return x + self.proj_out(mixed).reshape(x.shape)  # type: ignore[no-any-return]


class Stage(nn.Sequential):
    """A sequence of layers; residual blocks also receive the embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        """x: (N, C, H, W). embedding: (N, E)."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResidualBlock) else layer(x)
        return x


def _stage(width: int, out: int, factor: int, embedding: int, config: EncoderConfig) -> list[nn.Module]:
    layers: list[nn.Module] = [ResidualBlock(width, out, embedding, config)]
    return layers + ([AttentionBlock(out, config)] if factor in config.attention else [])


def encoder_blocks(config: EncoderConfig, inputs: int) -> tuple[list[Stage], list[int]]:
    """Return the stages of the encoder, and the number of channels of each skip connection."""
    embedding = 4 * config.channels
    width = config.widths[0]
    stages, widths = [Stage(nn.Conv2d(inputs, width, 3, padding=1))], [width]
    for level, out in enumerate(config.widths):
        for _ in range(config.blocks):
            stages.append(Stage(*_stage(width, out, 2**level, embedding, config)))
            widths.append(out)
            width = out
        if level < len(config.multipliers) - 1:
            blocks = config.resample == "block"
            smaller = ResidualBlock(width, width, embedding, config, "down") if blocks else Downsample(width, config)
            stages.append(Stage(smaller))
            widths.append(width)
    return stages, widths


def middle_block(width: int, config: EncoderConfig) -> Stage:
    """Return the deepest stage: two residual blocks, with attention between them."""
    first, last = (ResidualBlock(width, width, 4 * config.channels, config) for _ in range(2))
    return Stage(first, *([AttentionBlock(width, config)] if config.middle_attention else []), last)


class UNet(nn.Module):
    """x (N, C_in, H, W), t (N,), label (N,) -> (N, C_out, H, W), with H and W multiples of `config.factor`."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width, embedding = config.channels, 4 * config.channels
        self.time_embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        if config.classes is not None:
            self.label_emb = new_embedding(config.classes, embedding)
        first = config.widths[0]
        down, skips = encoder_blocks(config, config.in_channels * (2 if config.low_res else 1))
        self.input_blocks = nn.ModuleList(down)
        self.middle_block = middle_block(skips[-1], config)
        self.output_blocks = nn.ModuleList(self._decoder(skips, embedding))
        last = _zeroed(nn.Conv2d(first, config.out_channels, 3, padding=1))
        self.out = nn.Sequential(norm_layer(first, config), nn.SiLU(), last)
        if config.noise_estimator is not None:
            self.noise_estimator = NoiseEstimator(config.in_channels, config.noise_estimator)

    def _decoder(self, skips: list[int], embedding: int) -> Iterator[Stage]:
        """Yield the stages of the decoder; they use the skip connections in reverse order."""
        config, remaining, width = self.config, list(skips), skips[-1]
        for level, out in reversed(list(enumerate(config.widths))):
            for block in range(config.blocks + 1):
                layers = _stage(width + remaining.pop(), out, 2**level, embedding, config)
                width = out
                if level > 0 and block == config.blocks:
                    blocks = config.resample == "block"
                    layers.append(
                        ResidualBlock(width, width, embedding, config, "up") if blocks else Upsample(width, config)
                    )
                yield Stage(*layers)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None, *, low_res: Tensor | None = None) -> Tensor:
        """t may be fractional. label: class-conditional networks only. low_res: super-resolution networks only."""
        if (label is None) == (self.config.classes is not None):
            raise ValueError(f"UNet: label is {label}, but the network has {self.config.classes} classes")
        embedding = self.time_embed(timestep_embedding(t, self.config.channels, self.config.frequencies))
        if label is not None:
            embedding = embedding + self.label_emb(label)
        if is_cpu_inference(x) and (embedding == embedding[:1]).all():
            embedding = embedding[:1]
        if self.config.low_res:
            if low_res is None:
                raise ValueError("UNet: low_res is None, but the network is for super-resolution; allowed: a tensor")
            x = torch.cat([x, F.interpolate(low_res, x.shape[-2:], mode="bilinear")], dim=1)
        if self.config.norm == "layer":
            x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for stage in self.input_blocks:
            x = stage(x, embedding)
            skips.append(x)
        x = self.middle_block(x, embedding)
        for stage in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            x = stage(x, embedding)
        norm, _, conv = self.out
        return conv(silu(norm(x), keep=x))  # type: ignore[no-any-return]
