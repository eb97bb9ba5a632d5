"""A classifier of noisy images: the encoder half of the U-Net, then pooling.

Dhariwal and Nichol 2021 (arXiv 2105.05233, section 4 and appendix). The keys of the state dict are those of the
published classifiers of guided-diffusion.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restorekit.nets.unet import GROUPS, EncoderConfig, encoder_blocks, middle_block, norm_layer, timestep_embedding

# Width of the hidden layer of `spatial` and `spatial_v2` pooling.
HIDDEN = 2048


class ClassifierConfig(EncoderConfig):
    """Architecture of a classifier."""

    classes: int = Field(ge=2, le=1_000_000)
    size: int = Field(64, ge=8, le=4096)
    """Side of the images in pixels; attention pooling has one position per pixel of the deepest level."""
    resample: Literal["conv", "block"] = "block"
    pool: Literal["attention", "adaptive", "spatial", "spatial_v2"] = "attention"
    """attention: attention pooling as in CLIP; adaptive: mean of the deepest level and a linear layer; spatial: means
    of all levels and a hidden layer with ReLU; spatial_v2: the same with group norm and SiLU."""

    @model_validator(mode="after")
    def _check_size(self) -> ClassifierConfig:
        if self.size % self.factor:
            raise ValueError(f"net.size is {self.size}, allowed: multiples of {self.factor}")
        width = self.widths[-1]
        per_head = self.head_channels or max(1, width // self.heads)
        if self.pool == "attention" and (width < per_head or width % (width // per_head)):
            raise ValueError(f"net.head_channels is {per_head}, allowed with attention pooling: divisors of {width}")
        return self


class AttentionPool(nn.Module):
    """Attention pooling with the mean as the query token (CLIP, arXiv 2103.00020)."""

    def __init__(self, side: int, width: int, head_channels: int, out: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(width, side**2 + 1) / width**0.5)
        self.qkv_proj = nn.Conv1d(width, 3 * width, 1)
        self.c_proj = nn.Conv1d(width, out, 1)
        self.heads = width // head_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, side, side) -> (N, out)."""
        tokens = x.flatten(2)
        tokens = torch.cat([tokens.mean(-1, keepdim=True), tokens], dim=-1)
        tokens = tokens + self.positional_embedding.to(tokens)
        n, c, _ = tokens.shape
        q, k, v = self.qkv_proj(tokens).reshape(n, 3, self.heads, c // self.heads, -1).transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, -1)
        pooled: Tensor = self.c_proj(mixed)[..., 0]
        return pooled


class Classifier(nn.Module):
    """x (N, C, size, size) of the variance-preserving process, t (N,) -> logits (N, classes)."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        width, embedding = config.channels, 4 * config.channels
        self.time_embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        blocks, widths = encoder_blocks(config, config.in_channels)
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = middle_block(widths[-1], config)
        self.out = self._head(widths)

    def _head(self, widths: list[int]) -> nn.Sequential:
        deep, out = widths[-1], self.config.classes
        if self.config.pool.startswith("spatial"):
            v2 = [nn.GroupNorm(GROUPS, HIDDEN, eps=self.config.norm_eps), nn.SiLU()]
            middle = v2 if self.config.pool == "spatial_v2" else [nn.ReLU()]
            return nn.Sequential(nn.Linear(sum(widths) + deep, HIDDEN), *middle, nn.Linear(HIDDEN, out))
        if self.config.pool == "adaptive":
            last = nn.Conv2d(deep, out, 1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
            pooling = nn.AdaptiveAvgPool2d((1, 1))
            return nn.Sequential(norm_layer(deep, self.config), nn.SiLU(), pooling, last, nn.Flatten())
        side = self.config.size // self.config.factor
        heads = self.config.head_channels or deep // self.config.heads
        return nn.Sequential(norm_layer(deep, self.config), nn.SiLU(), AttentionPool(side, deep, heads, out))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return logits (N, classes), float32."""
        embedding = self.time_embed(timestep_embedding(t, self.config.channels, self.config.frequencies))
        means = []
        for stage in self.input_blocks:
            x = stage(x, embedding)
            means.append(x)
        x = self.middle_block(x, embedding)
        if self.config.pool.startswith("spatial"):
            x = torch.cat([level.mean((2, 3)) for level in (*means, x)], dim=-1)
        logits: Tensor = self.out(x).float()
        return logits
