"""Conversion of published state dicts to ours, whose keys are those of guided-diffusion (see `nets/unet.py`).

Every function takes a state dict and the configuration of its network and returns a state dict for `UNet`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from restorekit.nets.unet import UNetConfig

StateDict = dict[str, Tensor]

# Layers of a residual block: our name, that of the port of Ho et al.'s code, that of diffusers.
RESIDUAL = (
    ("in_layers.0", "norm1", "norm1"),
    ("in_layers.2", "conv1", "conv1"),
    ("emb_layers.1", "temb_proj", "time_emb_proj"),
    ("out_layers.0", "norm2", "norm2"),
    ("out_layers.3", "conv2", "conv2"),
    ("skip_connection", "nin_shortcut", "conv_shortcut"),
)
ENDS_PORT = (
    ("time_embed.0", "temb.dense.0"),
    ("time_embed.2", "temb.dense.1"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "norm_out"),
    ("out.2", "conv_out"),
)
ENDS_DIFFUSERS = (
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
)
# diffusers renamed its attention projections; the Hub has files with the new and with the old names.
DIFFUSERS_OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def blocks_of(config: UNetConfig) -> Iterator[tuple[str, str, int, int]]:
    """Yield every block of a U-Net with convolutions between levels: (our name, kind, level, index within the level).

    Kinds: down, down-attention, downsample, middle, middle-attention, up, up-attention, upsample.
    """
    index, levels = 1, len(config.multipliers)
    for level in range(levels):
        for block in range(config.blocks):
            yield f"input_blocks.{index}.0", "down", level, block
            if 2**level in config.attention:
                yield f"input_blocks.{index}.1", "down-attention", level, block
            index += 1
        if level < levels - 1:
            yield f"input_blocks.{index}.0", "downsample", level, 0
            index += 1
    last = 2 if config.middle_attention else 1
    yield "middle_block.0", "middle", 0, 0
    yield f"middle_block.{last}", "middle", 0, 1
    if config.middle_attention:
        yield "middle_block.1", "middle-attention", 0, 0
    index = 0
    for level in reversed(range(levels)):
        for block in range(config.blocks + 1):
            yield f"output_blocks.{index}.0", "up", level, block
            if has_attention := 2**level in config.attention:
                yield f"output_blocks.{index}.1", "up-attention", level, block
            if level > 0 and block == config.blocks:
                yield f"output_blocks.{index}.{2 if has_attention else 1}", "upsample", level, 0
            index += 1


def from_ho_port(state: StateDict, config: UNetConfig) -> StateDict:
    """Convert from pesser/pytorch_diffusion, the PyTorch port of Ho et al.'s networks."""
    names = {
        "down": "down.{level}.block.{number}",
        "down-attention": "down.{level}.attn.{number}",
        "downsample": "down.{level}.downsample.conv",
        "middle": "mid.block_{one_based}",
        "middle-attention": "mid.attn_1",
        "up": "up.{level}.block.{number}",
        "up-attention": "up.{level}.attn.{number}",
        "upsample": "up.{level}.upsample.conv",
    }
    attention = ("norm", ("q", "k", "v"), "proj_out")
    return _renamed(state, config, names, dict(ENDS_PORT), 1, attention)


def from_diffusers(state: StateDict, config: UNetConfig) -> StateDict:
    """Convert from UNet2DModel of diffusers, with new or old names of the attention projections."""
    names = {
        "down": "down_blocks.{level}.resnets.{number}",
        "down-attention": "down_blocks.{level}.attentions.{number}",
        "downsample": "down_blocks.{level}.downsamplers.0.conv",
        "middle": "mid_block.resnets.{number}",
        "middle-attention": "mid_block.attentions.0",
        "up": "up_blocks.{from_bottom}.resnets.{number}",
        "up-attention": "up_blocks.{from_bottom}.attentions.{number}",
        "upsample": "up_blocks.{from_bottom}.upsamplers.0.conv",
    }
    old = any(key.endswith("proj_attn.weight") for key in state)
    q, k, v, out = DIFFUSERS_OLD.values() if old else DIFFUSERS_OLD.keys()
    return _renamed(state, config, names, dict(ENDS_DIFFUSERS), 2, ("group_norm", (q, k, v), out))


def _renamed(
    state: StateDict,
    config: UNetConfig,
    names: dict[str, str],
    ends: dict[str, str],
    column: int,
    attention: tuple[str, tuple[str, str, str], str],
) -> StateDict:
    """Rename all tensors.

    column: column of RESIDUAL with the names in the source. attention: the names in the source of the norm, of q, k, v
    and of the output projection.
    """
    result: StateDict = {}
    for ours, theirs in ends.items():
        _copy(state, theirs, result, ours)
    for ours, kind, level, number in blocks_of(config):
        bottom = len(config.multipliers) - 1 - level
        theirs = names[kind].format(level=level, number=number, one_based=number + 1, from_bottom=bottom)
        if kind.endswith("attention"):
            norm, qkv, out = attention
            _copy(state, f"{theirs}.{norm}", result, f"{ours}.norm")
            for part in ("weight", "bias"):
                stacked = torch.cat([state[f"{theirs}.{name}.{part}"].squeeze() for name in qkv])
                result[f"{ours}.qkv.{part}"] = stacked[..., None] if part == "weight" else stacked
            result[f"{ours}.proj_out.weight"] = state[f"{theirs}.{out}.weight"].squeeze()[..., None]
            result[f"{ours}.proj_out.bias"] = state[f"{theirs}.{out}.bias"]
        elif kind.endswith("sample"):
            _copy(state, theirs, result, f"{ours}.{'op' if kind == 'downsample' else 'conv'}")
        else:
            for row in RESIDUAL:
                if row[0] != "skip_connection" or f"{theirs}.{row[column]}.weight" in state:
                    _copy(state, f"{theirs}.{row[column]}", result, f"{ours}.{row[0]}")
    return result


def _copy(source: StateDict, theirs: str, target: StateDict, ours: str) -> None:
    for part in ("weight", "bias"):
        target[f"{ours}.{part}"] = source[f"{theirs}.{part}"]
