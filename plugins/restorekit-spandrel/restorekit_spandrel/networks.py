"""Networks of spandrel from checkpoints: image to image, and denoisers as priors.

spandrel's images and noise levels are in [0, 1]; only this module depends on it. Files are read by `read_state_dict`,
not by spandrel, so that nothing in them is executed.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import restorekit as rk
from restorekit.errors import shortened
from restorekit_spandrel.state_dicts import read_state_dict

EXTRA = "spandrel_extra_arches"
# Architectures that receive a map of the noise level as their last channel, and the largest level that they were
# trained for, in 8-bit grey levels: DPIR (Zhang et al. 2021, arXiv 2008.13751), FDnCNN (KAIR; Zhang et al. 2018).
NOISE_LEVELS = {"DRUNet": 50, "DnCNN": 75}
# Largest noise level of blind denoisers, in 8-bit grey levels. It does not change their results.
BLIND_LEVEL = 50
# Half a grey level, in the unit of images in [-1, 1].
SIGMA_MIN = 1 / 255
# DRUNet downsamples an image three times by 2.
MULTIPLE = 8


class SpandrelNetwork(nn.Module):
    """A network of spandrel for images in [-1, 1]; an `ImageNetwork`.

    Arguments:
        descriptor: spandrel's description of the network.
        path: its file, for messages.
    """

    def __init__(self, descriptor: Any, path: Path) -> None:
        super().__init__()
        self.net = _prepared(descriptor.model)
        self._descriptor = descriptor
        self.info = info_of(descriptor, path)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the tensors, but keep the memory format that views in networks such as IPT require."""
        return super()._apply(lambda tensor: fn(tensor).contiguous(), recurse)

    def forward(self, x: Tensor) -> Tensor:
        """Return images (N, C, scale * H, scale * W) in [-1, 1]: x (N, C, H, W), with a mask (N, C + 1, H, W)."""
        cuda = [x.device] if x.device.type == "cuda" else []
        half = torch.is_autocast_enabled(x.device.type) and self._descriptor.supports_bfloat16
        # Some networks draw random numbers (GFPGAN, AuraSR): the same ones for every image.
        with torch.random.fork_rng(cuda), torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            results = []
            for image in x.split(1):
                torch.manual_seed(0)
                results.append(self._call(image))
        # spandrel's results are inference tensors, which cannot be changed in place.
        return 2 * torch.cat(results).float() - 1

    def _call(self, image: Tensor) -> Tensor:
        if not self.info.receives_mask:
            return self._descriptor((image + 1) / 2)  # type: ignore[no-any-return]
        with torch.inference_mode():
            return self._descriptor((image[:, :-1] + 1) / 2, image[:, -1:])  # type: ignore[no-any-return]


class NoiseLevelPrior(nn.Module):
    """A denoiser that receives a map of the noise level: D(x, sigma) = 2 net([(x + 1) / 2, sigma / 2]) - 1.

    Arguments:
        net: the network. channels: number of image channels.
        sigma_max: largest sigma that it was trained for, in the unit of images in [-1, 1].
    """

    def __init__(self, net: nn.Module, channels: int, sigma_max: float) -> None:
        super().__init__()
        self.net = _prepared(net)
        self.info = rk.PriorInfo(channels, None, SIGMA_MIN, sigma_max)

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma), float32: x (N, C, H, W), sigma (N,)."""
        height, width = x.shape[-2:]
        padded = F.pad((x + 1) / 2, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        levels = (sigma.to(padded) / 2).reshape(-1, 1, 1, 1).expand(len(x), 1, *padded.shape[-2:])
        return 2 * self.net(torch.cat([padded, levels], 1))[..., :height, :width].float() - 1


class BlindPrior(nn.Module):
    """A restoration network that receives no noise level, as a blind prior; without gradients.

    Arguments:
        network: the network, of scale 1.
    """

    def __init__(self, network: SpandrelNetwork) -> None:
        super().__init__()
        self.network = network
        self.info = rk.PriorInfo(network.info.channels, None, SIGMA_MIN, 2 * BLIND_LEVEL / 255, blind=True)

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x), float32: x (N, C, H, W); sigma and label are ignored."""
        return self.network(x)  # type: ignore[no-any-return]


def load_network(path: Path) -> SpandrelNetwork:
    """Load a network, float32 on the CPU; ModelError if the file or its network is not allowed."""
    return SpandrelNetwork(_descriptor(path), path)


def load_prior(path: Path) -> NoiseLevelPrior | BlindPrior:
    """Load a denoiser as a prior, float32 on the CPU; ModelError if the file or its network is not allowed."""
    if not path.is_file():
        raise rk.ModelError(f"spandrel:{path}: no such file (in {Path.cwd()})")
    descriptor = _descriptor(path)
    info, name = info_of(descriptor, path), descriptor.architecture.name
    if info.receives_mask or info.scale != 1:
        found = "fills holes" if info.receives_mask else f"enlarges images by a factor of {info.scale}"
        raise rk.ModelError(f"spandrel:{path}: {name} {found}, allowed: a denoiser")
    if descriptor.architecture.id in NOISE_LEVELS and getattr(descriptor.model, "mode", "FDnCNN") == "FDnCNN":
        sigma_max = 2 * NOISE_LEVELS[descriptor.architecture.id] / 255
        return NoiseLevelPrior(descriptor.model, info.channels, sigma_max)
    return BlindPrior(SpandrelNetwork(descriptor, path))


def info_of(descriptor: Any, path: Path) -> rk.NetworkInfo:
    """Return the facts about a network from spandrel's description; ModelError if it does not return images like x."""
    name, channels = descriptor.architecture.name, (descriptor.input_channels, descriptor.output_channels)
    if channels not in ((1, 1), (3, 3)):
        found = f"{name} with {channels[0]} channels to {channels[1]}"
        raise rk.ModelError(f"{path}: found {found}, allowed: 1 to 1, or 3 to 3")
    tiles = {"SUPPORTED": "allowed", "DISCOURAGED": "discouraged", "INTERNAL": "never"}[descriptor.tiling.name]
    masked = descriptor.purpose == "Inpainting"
    return rk.NetworkInfo(
        channels[0],
        descriptor.scale,
        descriptor.size_requirements.multiple_of,
        # A network for faces receives one face; the recipe for inpainting chooses what the network receives.
        "never" if masked or descriptor.purpose == "FaceSR" else tiles,  # type: ignore[arg-type]
        masked,
        name,
    )


def _prepared(net: nn.Module) -> nn.Module:
    """Return a network in float32, in evaluation mode, all of whose tensors move with it to a device."""
    for module in net.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                delattr(module, name)
                module.register_buffer(name, value, persistent=False)
    return net.float().eval().requires_grad_(False)


def _descriptor(path: Path) -> Any:
    """Return spandrel's description of the network of a checkpoint."""
    try:
        import spandrel
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed; pip install restorekit-spandrel installs all requirements"
        raise rk.ModelError(f"{path}: {text}") from error
    has_extra = _has(EXTRA)
    with warnings.catch_warnings(action="ignore"):  # of torch, about unusual files and the code of networks
        weights, registry = read_state_dict(path), spandrel.MAIN_REGISTRY.copy()
        if has_extra:
            import spandrel_extra_arches

            registry.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
        try:
            descriptor = registry.load(weights)
        except spandrel.UnsupportedModelError as error:
            found = f"not a network that spandrel {version('spandrel')} knows (first weights: {_first(weights)})"
            more = f"; {EXTRA}, which is not installed, adds Restormer, MAT and others (see the README of the plugin)"
            raise rk.ModelError(f"{path}: {found}{'' if has_extra else more}") from error
        except Exception as error:
            reason = shortened(f"{type(error).__name__}: {' '.join(str(error).split())}", 200)
            raise rk.ModelError(f"{path}: the weights do not fit a network that spandrel knows ({reason})") from error
    if descriptor.architecture.id == "MAT":
        # MAT draws its latent code when it is built.
        descriptor.model.z = torch.randn(1, 512, generator=torch.Generator().manual_seed(0))
    return descriptor


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _first(weights: dict[str, Tensor]) -> str:
    return ", ".join(shortened(name) for name in list(weights)[:3])
