"""Published checkpoints whose files do not contain their architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from restorekit.models.config import EpsilonConfig
from restorekit.models.importers.imported import Origin
from restorekit.nets.unet import UNetConfig


@dataclass(frozen=True)
class Preset:
    """The architecture of a published checkpoint.

    Attributes:
        origin: what is known about it.
        flags: flags of guided-diffusion; "" for a network of Ho et al.
        config: configuration of a network of Ho et al.
        names: names of the file, without its suffix, or of its folder; in addition to that of the preset.
    """

    origin: Origin
    flags: str = ""
    config: EpsilonConfig | None = None
    names: tuple[str, ...] = ()


IMAGENET = Origin(
    project="guided-diffusion",
    url="https://github.com/openai/guided-diffusion",
    license="mit",
    data="ImageNet (ILSVRC 2012)",
    notes=("The model card of the authors limits the intended use to research.",),
)
BEDROOM, CAT, HORSE = (replace(IMAGENET, data=f"LSUN {name}") for name in ("bedroom", "cat", "horse"))
FFHQ = Origin(
    project="Diffusion Posterior Sampling (Chung et al. 2023)",
    url="https://github.com/DPS2022/diffusion-posterior-sampling",
    data="FFHQ",
)
# The flags of the README of guided-diffusion, without those that have no influence on the network and its noise levels.
ADM = "--num_res_blocks 2 --learn_sigma True --resblock_updown True --attention_resolutions 32,16,8"
LARGE = f"{ADM} --num_channels 256 --num_head_channels 64"
CONDITIONAL = f"{LARGE} --class_cond True"
LSUN = f"{LARGE} --image_size 256 --dropout 0.1"
SMALL = (
    f"{ADM} --image_size 64 --num_channels 192 --num_head_channels 64 --num_res_blocks 3 --class_cond True "
    "--dropout 0.1 --noise_schedule cosine --use_new_attention_order True"
)
UPSAMPLER = f"{ADM} --num_channels 192 --class_cond True"
GUIDED = {
    "64x64_diffusion": Preset(IMAGENET, SMALL),
    "128x128_diffusion": Preset(IMAGENET, f"{ADM} --image_size 128 --num_channels 256 --num_heads 4 --class_cond True"),
    "256x256_diffusion": Preset(IMAGENET, f"{CONDITIONAL} --image_size 256"),
    "256x256_diffusion_uncond": Preset(IMAGENET, f"{LARGE} --image_size 256"),
    "512x512_diffusion": Preset(IMAGENET, f"{CONDITIONAL} --image_size 512"),
    "64x64_classifier": Preset(IMAGENET, "--image_size 64 --classifier_depth 4 --noise_schedule cosine"),
    "128x128_classifier": Preset(IMAGENET, "--image_size 128"),
    "256x256_classifier": Preset(IMAGENET, "--image_size 256"),
    "512x512_classifier": Preset(IMAGENET, "--image_size 512"),
    "64_256_upsampler": Preset(IMAGENET, f"{UPSAMPLER} --large_size 256 --num_heads 4"),
    "128_512_upsampler": Preset(
        IMAGENET, f"{UPSAMPLER} --large_size 512 --small_size 128 --attention_resolutions 32,16 --num_head_channels 64"
    ),
    "lsun_bedroom": Preset(BEDROOM, LSUN),
    "lsun_cat": Preset(CAT, LSUN),
    "lsun_horse": Preset(HORSE, LSUN),
    "lsun_horse_nodropout": Preset(HORSE, f"{LARGE} --image_size 256"),
    "ffhq_10m": Preset(
        FFHQ,
        "--image_size 256 --num_channels 128 --num_res_blocks 1 --num_head_channels 64 --attention_resolutions 16 "
        "--learn_sigma True --resblock_updown True",
    ),
}


def _ho_config(size: int, multipliers: tuple[int, ...]) -> EpsilonConfig:
    """Return the configuration of a network of Ho et al. 2020 (arXiv 2006.11239, appendix B)."""
    net = UNetConfig(
        channels=128,
        multipliers=multipliers,
        attention=(size // 16,),
        heads=1,
        embedding="additive",
        frequencies="sin-cos",
        down_padding="right-bottom",
        norm_eps=1e-6,
    )
    return EpsilonConfig(net=net, size=size)


def _ho_preset(name: str, data: str, config: EpsilonConfig) -> Preset:
    origin = Origin(
        project="Denoising Diffusion Probabilistic Models (Ho et al. 2020), in the port of P. Esser",
        url="https://github.com/pesser/pytorch_diffusion",
        data=data,
        notes=("The port is under the MIT licence; the weights were published by Ho et al. without a licence.",),
    )
    return Preset(origin, config=config, names=(f"diffusion_{name}_model", f"ema_diffusion_{name}_model"))


HO_256 = _ho_config(256, (1, 1, 2, 2, 4, 4))
HO = {
    "ho_cifar10": _ho_preset("cifar10", "CIFAR-10", _ho_config(32, (1, 2, 2, 2))),
    "ho_celebahq": _ho_preset("celebahq", "CelebA-HQ", HO_256),
    "ho_lsun_bedroom": _ho_preset("lsun_bedroom", "LSUN bedroom", HO_256),
    "ho_lsun_cat": _ho_preset("lsun_cat", "LSUN cat", HO_256),
    "ho_lsun_church": _ho_preset("lsun_church", "LSUN church", HO_256),
}
PRESETS: Mapping[str, Preset] = GUIDED | HO


def preset_of(path: Path) -> str | None:
    """Return the name of the preset of a file by its name or that of its folder; None if there is none."""
    for name in (path.stem.lower(), path.resolve().parent.name.lower()):
        found = [preset for preset, facts in PRESETS.items() if name in (preset, *facts.names)]
        if found:
            return found[0]
    return None
