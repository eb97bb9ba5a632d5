"""Conversion of published state dicts to ours, whose keys are those of guided-diffusion (see `nets/unet.py`).

Both conversions raise `ModelError` if the tensors do not fit the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from restorekit.errors import ModelError
from restorekit.models.shapes import misfit
from restorekit.nets.unet import UNet, UNetConfig

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
ENDS_PORT = {
    "time_embed.0": "temb.dense.0",
    "time_embed.2": "temb.dense.1",
    "input_blocks.0.0": "conv_in",
    "out.0": "norm_out",
    "out.2": "conv_out",
}
ENDS_DIFFUSERS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
BLOCKS_PORT = {
    "down": "down.{level}.block.{number}",
    "down-attention": "down.{level}.attn.{number}",
    "downsample": "down.{level}.downsample",
    "middle": "mid.block_{one_based}",
    "middle-attention": "mid.attn_1",
    "up": "up.{level}.block.{number}",
    "up-attention": "up.{level}.attn.{number}",
    "upsample": "up.{level}.upsample",
}
BLOCKS_DIFFUSERS = {
    "down": "down_blocks.{level}.resnets.{number}",
    "down-attention": "down_blocks.{level}.attentions.{number}",
    "downsample": "down_blocks.{level}.downsamplers.0",
    "middle": "mid_block.resnets.{number}",
    "middle-attention": "mid_block.attentions.0",
    "up": "up_blocks.{from_bottom}.resnets.{number}",
    "up-attention": "up_blocks.{from_bottom}.attentions.{number}",
    "upsample": "up_blocks.{from_bottom}.upsamplers.0",
}
# Norm, projections of q, k and v, and output projection of an attention block.
ATTENTION_PORT = ("norm", ("q", "k", "v"), "proj_out")
ATTENTION_DIFFUSERS = ("group_norm", ("to_q", "to_k", "to_v"), "to_out.0")
# diffusers renamed its attention projections; the Hub has files with the new and with the old names.
ATTENTION_DIFFUSERS_OLD = ("group_norm", ("query", "key", "value"), "proj_attn")


def blocks_of(config: UNetConfig) -> Iterator[tuple[str, str, int, int]]:
    """Yield every block of a U-Net: (our name, kind, level, index within the level).

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
    return _converted(state, config, _layers(config, BLOCKS_PORT, ATTENTION_PORT, 1) | _ends(ENDS_PORT))


def from_diffusers(state: StateDict, config: UNetConfig) -> StateDict:
    """Convert from UNet2DModel of diffusers, with new or old names of the attention projections."""
    old = any(key.endswith("proj_attn.weight") for key in state)
    attention = ATTENTION_DIFFUSERS_OLD if old else ATTENTION_DIFFUSERS
    return _converted(state, config, _layers(config, BLOCKS_DIFFUSERS, attention, 2) | _ends(ENDS_DIFFUSERS))


def _ends(ends: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {ours: (theirs,) for ours, theirs in ends.items()}


def _layers(
    config: UNetConfig, blocks: Mapping[str, str], attention: tuple[str, tuple[str, ...], str], column: int
) -> dict[str, tuple[str, ...]]:
    """Return the layers in the source of every layer of ours: one, or q, k and v.

    column: column of RESIDUAL with the names in the source.
    """
    names: dict[str, tuple[str, ...]] = {}
    for ours, kind, level, number in blocks_of(config):
        bottom = len(config.multipliers) - 1 - level
        theirs = blocks[kind].format(level=level, number=number, one_based=number + 1, from_bottom=bottom)
        if kind.endswith("attention"):
            norm, qkv, out = attention
            names[f"{ours}.norm"] = (f"{theirs}.{norm}",)
            names[f"{ours}.qkv"] = tuple(f"{theirs}.{name}" for name in qkv)
            names[f"{ours}.proj_out"] = (f"{theirs}.{out}",)
        elif kind.endswith("sample") and config.resample != "block":
            names[f"{ours}.{'op' if kind == 'downsample' else 'conv'}"] = (f"{theirs}.conv",)
        else:
            names |= {f"{ours}.{row[0]}": (f"{theirs}.{row[column]}",) for row in RESIDUAL}
    return names


def _converted(state: StateDict, config: UNetConfig, layers: Mapping[str, tuple[str, ...]]) -> StateDict:
    """Rename all tensors, and stack q, k and v.

    layers: the layers in the source of every layer of ours.
    """
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in UNet(config).state_dict().items()}
    sources: dict[str, list[str]] = {}
    expected: dict[str, tuple[int, ...]] = {}
    for name, (size, *rest) in shapes.items():
        layer, _, part = name.rpartition(".")
        sources[name] = [f"{theirs}.{part}" for theirs in layers[layer]]
        expected |= dict.fromkeys(sources[name], (size // len(sources[name]), *rest))
    # The projections of attention are layers of various kinds in the sources, with or without axes of size 1.
    problem = misfit(
        {name: _without_ones(shape) for name, shape in expected.items()},
        {name: _without_ones(tuple(value.shape)) for name, value in state.items()},
    )
    if problem:
        raise ModelError(f"the tensors do not fit the network: {problem}")
    return {
        name: torch.cat([state[key] for key in keys]).reshape(shapes[name])
        if len(keys) > 1
        else state[keys[0]].reshape(shapes[name])
        for name, keys in sources.items()
    }


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:1], *(size for size in shape[1:] if size != 1))
