"""Folders of diffusers with a `UNet2DModel`: those of a model, and those of a pipeline with unet/ and scheduler/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from torch import Tensor

from restorekit.errors import ModelError, shortened
from restorekit.models.config import EpsilonConfig
from restorekit.models.importers.checkpoint import read_checkpoint, tensors_of
from restorekit.models.keymaps import from_diffusers
from restorekit.models.schedule import ScheduleConfig
from restorekit.nets.unet import UNetConfig

CONFIG = "config.json"
SCHEDULER = "scheduler_config.json"
STEM = "diffusion_pytorch_model"
WEIGHTS = (f"{STEM}.safetensors", f"{STEM}.bin")
# Settings with which the network is ours; None: the default. Settings that are not listed are read below.
FIXED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "freq_shift": (0, 1),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "act_fn": ("silu", "swish"),
    "norm_num_groups": (32,),
    "attn_norm_num_groups": (None, 32),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
}
READ = {
    *("sample_size", "in_channels", "out_channels", "time_embedding_dim", "flip_sin_to_cos", "down_block_types"),
    *("up_block_types", "block_out_channels", "layers_per_block", "dropout", "attention_head_dim", "norm_eps"),
    *("add_attention", "num_class_embeds", "num_train_timesteps"),
}
BLOCKS = {
    "DownBlock2D": "conv",
    "UpBlock2D": "conv",
    "ResnetDownsampleBlock2D": "resnet",
    "ResnetUpsampleBlock2D": "resnet",
}
ATTENTION_BLOCKS = ("AttnDownBlock2D", "AttnUpBlock2D")
KINDS: dict[str, Literal["linear", "scaled-linear", "cosine", "sigmoid"]] = {
    "linear": "linear",
    "scaled_linear": "scaled-linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
}
PREDICTIONS: dict[str, Literal["eps", "x0", "v"]] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}


def is_diffusers_file(path: Path) -> bool:
    """Return whether a path has the name of a weights file of diffusers."""
    return path.name in WEIGHTS


def find_unet(folder: Path) -> Path | None:
    """Return the weights file of a folder of diffusers, or of its subfolder unet; None if it is none."""
    files = (unet / name for unet in (folder, folder / "unet") if (unet / CONFIG).is_file() for name in WEIGHTS)
    return next((file for file in files if file.is_file()), None)


def read_diffusers_config(weights: Path, classes: tuple[str, ...] | None = None) -> EpsilonConfig:
    """Return our configuration of the U-Net with the given weights file, and of its scheduler.

    classes: names of the classes of a class-conditional network; their numbers by default.
    """
    path = weights.parent / CONFIG
    settings = _read_json(path)
    _check(path, settings)
    net = _net_config(path, settings)
    if net.classes is not None and classes is None:
        classes = tuple(str(number) for number in range(net.classes))
    size = settings.get("sample_size")
    try:
        return EpsilonConfig(
            net=net,
            channels=net.in_channels,
            size=size[0] if isinstance(size, list) and len(size) == 2 and size[0] == size[1] else size,
            classes=None if net.classes is None else classes,
            **_process(_find_scheduler(weights.parent)),
        )
    except ValidationError as error:
        raise ModelError(f"{path}: {shortened(error.errors()[0]['msg'], 200)}") from error


def load_diffusers_weights(weights: Path, config: EpsilonConfig) -> dict[str, Tensor]:
    """Return the state dict of our network, in the precision of the file."""
    state = tensors_of(read_checkpoint(weights), weights)
    try:
        converted = from_diffusers(state, config.net)
    except ModelError as error:
        raise ModelError(f"{weights}: {error}") from error
    settings = _read_json(weights.parent / CONFIG)
    if bool(settings.get("flip_sin_to_cos", True)) != (config.net.frequencies == "cos-sin"):
        # The order of sines and cosines and the frequencies are separate settings, of which we know two combinations.
        first = converted["time_embed.0.weight"]
        converted["time_embed.0.weight"] = first.roll(first.shape[1] // 2, dims=1)
    return converted


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: found {type(content).__name__}, allowed: an object")
    return content


def _check(path: Path, settings: Mapping[str, Any]) -> None:
    """Raise ModelError for a setting with which the network is not ours."""
    if settings.get("_class_name") != "UNet2DModel":
        raise ModelError(f"{path}: _class_name is {shortened(settings.get('_class_name'))}, allowed: UNet2DModel")
    for name, value in settings.items():
        if name in FIXED and value not in FIXED[name]:
            allowed = ", ".join(map(str, FIXED[name]))
            raise ModelError(f"{path}: {name} is {shortened(value)}, allowed: {allowed}")
        if name not in FIXED and name not in READ and not name.startswith("_"):
            raise ModelError(f"{path}: unknown setting {shortened(name)}")
    levels: dict[str, type] = {"down_block_types": str, "up_block_types": str, "block_out_channels": int}
    for name, kind in levels.items():
        found = settings.get(name)
        valid = isinstance(found, list) and all(type(value) is kind and value for value in found)
        if not valid or not found or len(found) != len(settings["down_block_types"]):
            raise ModelError(f"{path}: {name} is {shortened(found)}, allowed: one {kind.__name__} per level")
    first = settings["block_out_channels"][0]
    if settings.get("time_embedding_dim") not in (None, 4 * first):
        raise ModelError(f"{path}: time_embedding_dim is {settings['time_embedding_dim']}, allowed: {4 * first}")
    scale_shift = settings.get("resnet_time_scale_shift") == "scale_shift"
    if scale_shift and settings.get("add_attention", True) and settings.get("attn_norm_num_groups") is None:
        raise ModelError(f"{path}: attn_norm_num_groups is null, allowed with scale_shift: 32")


def _net_config(path: Path, settings: Mapping[str, Any]) -> UNetConfig:
    down, up = settings["down_block_types"], settings["up_block_types"]
    attention = [kind in ATTENTION_BLOCKS for kind in down]
    if attention != [kind in ATTENTION_BLOCKS for kind in reversed(up)]:
        raise ModelError(f"{path}: down_block_types and up_block_types have attention at different levels")
    widths, head = settings["block_out_channels"], settings.get("attention_head_dim", 8)
    values = {
        "in_channels": settings.get("in_channels", 3),
        "out_channels": settings.get("out_channels", 3),
        "channels": widths[0],
        "multipliers": [width // widths[0] if width % widths[0] == 0 else width / widths[0] for width in widths],
        "blocks": settings.get("layers_per_block", 2),
        "attention": [2**level for level, found in enumerate(attention) if found],
        "middle_attention": settings.get("add_attention", True),
        "heads": 1,
        "head_channels": head,
        "attention_order": "qkv-first",
        "embedding": "scale-shift" if settings.get("resnet_time_scale_shift") == "scale_shift" else "additive",
        "resample": _resample(path, settings),
        "frequencies": "sin-cos" if settings.get("freq_shift", 0) else "cos-sin",
        "down_padding": "both" if settings.get("downsample_padding", 1) else "right-bottom",
        "norm_eps": settings.get("norm_eps", 1e-5),
        "dropout": settings.get("dropout", 0.0),
        "classes": settings.get("num_class_embeds"),
    }
    try:
        return UNetConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{path}: {shortened(first['msg'], 200)} (found {shortened(first['input'])})") from error


def _resample(path: Path, settings: Mapping[str, Any]) -> Literal["conv", "block"]:
    """Return the kind of resampling, which must be the same between all levels."""
    found = set()
    for side, own in (("down_block_types", "downsample_type"), ("up_block_types", "upsample_type")):
        for kind in settings[side]:
            if kind not in BLOCKS and kind not in ATTENTION_BLOCKS:
                allowed = ", ".join([*BLOCKS, *ATTENTION_BLOCKS])
                raise ModelError(f"{path}: {side} contains {shortened(kind)}, allowed: {allowed}")
        # The last block of each side does not resample.
        found |= {BLOCKS.get(kind, settings.get(own, "conv")) for kind in settings[side][:-1]}
    if len(found) > 1:
        raise ModelError(f"{path}: some levels resample by conv and some by resnet; allowed: the same for all levels")
    return "block" if "resnet" in found else "conv"


def _find_scheduler(unet: Path) -> Path:
    """Return the configuration of the scheduler of a model or a pipeline."""
    found = [path for path in (unet / SCHEDULER, unet.parent / "scheduler" / SCHEDULER) if path.is_file()]
    if not found:
        raise ModelError(
            f"{unet}: found no {SCHEDULER}, which has the noise levels; allowed: beside {CONFIG}, or in "
            "the folder scheduler of the pipeline"
        )
    return found[0]


def _process(path: Path) -> dict[str, Any]:
    """Return the schedule and the predicted quantity of a scheduler, as values of our configuration."""
    settings = _read_json(path)
    name, prediction = str(settings.get("_class_name")), str(settings.get("prediction_type", "epsilon"))
    kind = str(settings.get("beta_schedule"))
    if "num_train_timesteps" not in settings or not {"beta_schedule", "trained_betas"} & settings.keys():
        raise ModelError(f"{path}: {shortened(name)} has no betas; allowed: schedulers such as DDPMScheduler")
    if settings.get("rescale_betas_zero_snr"):
        raise ModelError(f"{path}: rescale_betas_zero_snr is true, allowed: false; the last sigma would be infinite")
    if prediction not in PREDICTIONS:
        raise ModelError(f"{path}: prediction_type is {shortened(prediction)}, allowed: {', '.join(PREDICTIONS)}")
    schedule: dict[str, Any] = {"steps": settings["num_train_timesteps"]}
    if settings.get("trained_betas") is not None:
        schedule |= {"kind": "betas", "betas": settings["trained_betas"]}
    elif kind in KINDS:
        start, end = settings.get("beta_start", 1e-4), settings.get("beta_end", 0.02)
        schedule |= {"kind": KINDS[kind], "start": start, "end": end}
    else:
        raise ModelError(f"{path}: beta_schedule is {shortened(kind)}, allowed: {', '.join(KINDS)}")
    try:
        return {"schedule": ScheduleConfig.model_validate(schedule), "prediction": PREDICTIONS[prediction]}
    except ValidationError as error:
        raise ModelError(f"{path}: {shortened(error.errors()[0]['msg'], 200)}") from error
