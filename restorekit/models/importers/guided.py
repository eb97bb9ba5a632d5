"""Checkpoints of guided-diffusion (Dhariwal and Nichol 2021, arXiv 2105.05233), by the flags of its scripts."""

from __future__ import annotations

import shlex
from typing import Literal

from pydantic import ValidationError
from torch import Tensor

from restorekit.core.config import Config
from restorekit.errors import ModelError, shortened, unknown
from restorekit.models.config import EpsilonConfig, NoisyClassifierConfig
from restorekit.models.schedule import ScheduleConfig
from restorekit.nets.classifier import ClassifierConfig
from restorekit.nets.unet import UNetConfig

# Multipliers of the number of channels by the side of the images.
MULTIPLIERS: dict[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
}
UPSAMPLER_MULTIPLIERS: dict[int, tuple[float, ...]] = MULTIPLIERS | {512: MULTIPLIERS[256]}
# Flags that do not change the network or its noise levels.
IGNORED = {
    *("batch_size", "num_samples", "use_ddim", "clip_denoised", "timestep_respacing", "use_fp16", "use_checkpoint"),
    *("use_kl", "rescale_learned_sigmas", "model_path", "classifier_path", "classifier_scale", "classifier_use_fp16"),
    "base_samples",
}


class Flags(Config):
    """The flags of the scripts of guided-diffusion, with their defaults.

    `conv_resample` is an argument of its network that the scripts do not set.
    """

    image_size: int = 64
    large_size: int | None = None
    small_size: int = 64
    num_channels: int = 128
    num_res_blocks: int = 2
    num_heads: int = 4
    num_heads_upsample: int = -1
    num_head_channels: int = -1
    attention_resolutions: str = "16,8"
    channel_mult: str = ""
    dropout: float = 0.0
    class_cond: bool = False
    use_scale_shift_norm: bool = True
    resblock_updown: bool = False
    conv_resample: bool = True
    use_new_attention_order: bool = False
    learn_sigma: bool = False
    diffusion_steps: int = 1000
    noise_schedule: Literal["linear", "cosine"] = "linear"
    predict_xstart: bool = False
    rescale_timesteps: bool = False
    classifier_width: int = 128
    classifier_depth: int = 2
    classifier_attention_resolutions: str = "32,16,8"
    classifier_use_scale_shift_norm: bool = True
    classifier_resblock_updown: bool = True
    classifier_pool: Literal["attention", "adaptive", "spatial", "spatial_v2"] = "attention"


def parse_flags(text: str) -> Flags:
    """Return the flags of a command line such as MODEL_FLAGS of the README of guided-diffusion."""
    words = [part for word in shlex.split(text) for part in word.split("=", 1)]
    names, values = words[::2], words[1::2]
    if len(names) != len(values) or not all(name.startswith("--") for name in names):
        raise ModelError(
            f"--flags: found {shortened(text)!r}, allowed: --name value, with the names of guided-diffusion"
        )
    given = {name.removeprefix("--"): value for name, value in zip(names, values, strict=True)}
    for name in given:
        if name not in Flags.model_fields and name not in IGNORED:
            raise ModelError(unknown("flag", name, list(Flags.model_fields), "--flags"))
    try:
        return Flags.model_validate({name: value for name, value in given.items() if name not in IGNORED})
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"--flags: {first['loc'][0]}: {first['msg']} (found {first['input']!r})") from error


def schedule_of(flags: Flags) -> ScheduleConfig:
    """Return the noise schedule; the ends of the linear one are scaled by 1000 / steps."""
    scale = 1000 / flags.diffusion_steps
    return ScheduleConfig(
        kind=flags.noise_schedule,
        steps=flags.diffusion_steps,
        start=1e-4 * scale,
        end=0.02 * scale,
        time_scale=scale if flags.rescale_timesteps else 1.0,
    )


def is_classifier(weights: dict[str, Tensor]) -> bool:
    """Return whether these are weights of a classifier, which has no decoder."""
    return not any(name.startswith("output_blocks.") for name in weights)


def prior_config(flags: Flags, classes: tuple[str, ...]) -> EpsilonConfig:
    """Return the configuration of a diffusion network. classes: names, for class-conditional networks."""
    if flags.num_heads_upsample not in (-1, flags.num_heads):
        raise ModelError(f"--flags: num_heads_upsample is {flags.num_heads_upsample}, allowed: -1 or num_heads")
    size = flags.large_size or flags.image_size
    if flags.small_size < 1 or size < 1:
        raise ModelError(f"--flags: found sizes {size} and {flags.small_size}, allowed: 1 or more")
    by_size = MULTIPLIERS if flags.large_size is None else UPSAMPLER_MULTIPLIERS
    net = UNetConfig(
        channels=flags.num_channels,
        blocks=flags.num_res_blocks,
        multipliers=_multipliers(flags.channel_mult, size, by_size),
        attention=_factors(flags.attention_resolutions, size),
        heads=flags.num_heads,
        head_channels=None if flags.num_head_channels == -1 else flags.num_head_channels,
        attention_order="qkv-first" if flags.use_new_attention_order else "heads-first",
        embedding=_embedding(flags.use_scale_shift_norm),
        resample="block" if flags.resblock_updown else "conv" if flags.conv_resample else "pool",
        dropout=flags.dropout,
        out_channels=6 if flags.learn_sigma else 3,
        classes=len(classes) if flags.class_cond else None,
        low_res=flags.large_size is not None,
    )
    return EpsilonConfig(
        net=net,
        schedule=schedule_of(flags),
        prediction="x0" if flags.predict_xstart else "eps",
        size=size,
        classes=classes if flags.class_cond else None,
        low_res_factor=None if flags.large_size is None else flags.large_size // flags.small_size,
    )


def classifier_config(flags: Flags, classes: tuple[str, ...]) -> NoisyClassifierConfig:
    """Return the configuration of a classifier of noisy images."""
    net = ClassifierConfig(
        channels=flags.classifier_width,
        blocks=flags.classifier_depth,
        multipliers=_multipliers("", flags.image_size, MULTIPLIERS),
        attention=_factors(flags.classifier_attention_resolutions, flags.image_size),
        # The heads of attention have 64 channels; num_heads is not a flag of classifiers.
        heads=1,
        head_channels=64,
        embedding=_embedding(flags.classifier_use_scale_shift_norm),
        resample="block" if flags.classifier_resblock_updown else "conv",
        pool=flags.classifier_pool,
        classes=len(classes),
        size=flags.image_size,
    )
    return NoisyClassifierConfig(net=net, schedule=schedule_of(flags), classes=classes)


def _embedding(scale_shift: bool) -> Literal["scale-shift", "additive"]:
    return "scale-shift" if scale_shift else "additive"


def _multipliers(given: str, size: int, by_size: dict[int, tuple[float, ...]]) -> tuple[float, ...]:
    if given:
        return tuple(_integers("channel_mult", given))
    if size not in by_size:
        raise ModelError(f"--flags: image_size is {size}, allowed without channel_mult: {', '.join(map(str, by_size))}")
    return by_size[size]


def _factors(resolutions: str, size: int) -> tuple[int, ...]:
    """Return the downsampling factors at which there is attention."""
    sides = _integers("attention_resolutions", resolutions)
    return tuple(sorted({size // side for side in sides}))


def _integers(name: str, text: str) -> list[int]:
    if not all(part.strip().isdecimal() and int(part) > 0 for part in text.split(",")):
        raise ModelError(f"--flags: {name} is {shortened(text)!r}, allowed: positive integers separated by commas")
    return [int(part) for part in text.split(",")]
