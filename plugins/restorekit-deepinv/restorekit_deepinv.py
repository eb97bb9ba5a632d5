"""deepinv's denoisers as priors of restorekit, and total variation as a solver.

deepinv works on images in [0, 1] with sigma in that unit; only `DeepinvPrior` and `solve_tv` know.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import restorekit as rk
from restorekit.errors import unknown

# torch and deepinv are imported when there is something to do: `restorekit --help` imports this module.
if TYPE_CHECKING:
    from torch import Tensor, nn

    from restorekit import Denoiser, ImageNoise, LinearOperator

HELP = "A denoiser of deepinv, NAME or NAME@FILE.pth: drunet, gsdrunet, ffdnet."
# Half a grey level, in the unit of images in [-1, 1]: less noise than a photo of 8 bits can tell.
SIGMA_MIN = 1 / 255
# Networks halve an image three times, and deepinv's DRUNet cuts images that are smaller or fit less well into parts.
MULTIPLE, LEAST = 8, 32


@dataclass(frozen=True)
class Kind:
    """A denoiser of deepinv.

    Attributes:
        build: its network, with the sizes that weights (names to tensors) have.
        download: the network with the weights that deepinv downloads.
        sigma_max: greatest noise that it was trained for, in 8-bit grey levels.
    """

    build: Callable[[Mapping[str, Tensor]], nn.Module]
    download: Callable[[], nn.Module]
    sigma_max: float


def _drunet_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of deepinv's DRUNet."""
    head = weights["m_head.weight"].shape
    blocks = len({name.split(".")[1] for name in weights if name.startswith("m_down1.") and ".res." in name})
    widths = (head[0], *(weights[f"m_down{level}.{blocks}.weight"].shape[0] for level in (1, 2, 3)))
    return {"in_channels": head[1] - 1, "out_channels": head[1] - 1, "nc": widths, "nb": blocks}


def _drunet(weights: Mapping[str, Tensor]) -> nn.Module:
    return _models().DRUNet(**_drunet_sizes(weights), pretrained=None)


def _gsdrunet(weights: Mapping[str, Tensor]) -> nn.Module:
    prefix = "student_grad.model."
    inner = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return _models().GSDRUNet(**_drunet_sizes(inner), pretrained=None)


def _ffdnet(weights: Mapping[str, Tensor]) -> nn.Module:
    first = weights["blocks.0.0.weight"].shape
    layers = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    sizes = {"n_conv_layers": layers, "nf": first[0], "img_channels": first[1] // 4 - 1}
    return _models().FFDNet(**sizes, last_conv_bias=f"blocks.{layers - 1}.bias" in weights, pretrained=None)


# Noise: DPIR (Zhang et al. 2021, arXiv 2008.13751), gradient step (Hurault et al. 2022, arXiv 2110.03220),
# FFDNet (Zhang et al. 2018, arXiv 1710.04026).
KINDS = {
    "drunet": Kind(_drunet, lambda: _models().DRUNet(pretrained="download"), 50),
    "gsdrunet": Kind(_gsdrunet, lambda: _models().GSDRUNet(pretrained="download"), 50),
    "ffdnet": Kind(
        _ffdnet, lambda: _models().FFDNet(n_conv_layers=12, nf=96, img_channels=3, pretrained="download"), 75
    ),
}


def _models() -> Any:
    """deepinv.models, which takes seconds to import."""
    try:
        import deepinv.models
    except ModuleNotFoundError as error:
        text = f"deepinv: {error.name} is not installed; pip install restorekit-deepinv brings all that is needed"
        raise rk.ModelError(text) from error
    return deepinv.models


def load(text: str) -> Denoiser:
    """The prior of `NAME@FILE.pth`, or of `NAME` with the weights that deepinv downloads; float32 on the CPU.

    The file holds a state dict, alone or as "state_dict" of a checkpoint of deepinv's trainer; width, depth and number
    of channels are taken from it.
    """
    name, at, file = text.partition("@")
    if name not in KINDS:
        raise rk.ModelError(unknown("denoiser", name, KINDS, f"deepinv:{text}"))
    kind = KINDS[name]
    net = _downloaded(kind, name) if not at else _from_file(kind, name, Path(file))
    channels = next(p.shape[0] for p in reversed(list(net.parameters())) if p.ndim == 4)
    channels = channels // 4 if name == "ffdnet" else channels
    return prior_of(net, channels=channels, sigma_max=2 * kind.sigma_max / 255)


def _downloaded(kind: Kind, name: str) -> nn.Module:
    _models()
    from deepinv.utils import DownloadError

    try:
        return kind.download()
    except DownloadError as error:
        text = f"deepinv:{name}: {' '.join(str(error).split())}; deepinv:{name}@FILE.pth takes a file"
        raise rk.ModelError(text) from error


def _from_file(kind: Kind, name: str, file: Path) -> nn.Module:
    import pickle

    import torch

    _models()
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise rk.ModelError(f"deepinv:{name}@{file}: there is no such file (in {Path.cwd()})") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise rk.ModelError(f"deepinv:{name}@{file}: not a file of weights ({str(error).splitlines()[0]})") from error
    weights = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    try:
        net = kind.build(weights)
        net.load_state_dict(weights)
    except (KeyError, IndexError, RuntimeError) as error:
        first = " ".join(str(error).split())[:200]
        raise rk.ModelError(f"deepinv:{name}@{file}: the weights are not those of {name} ({first})") from error
    return net


def prior_of(net: nn.Module, *, channels: int, sigma_max: float, sigma_min: float = SIGMA_MIN) -> Denoiser:
    """Any denoiser of deepinv that is told sigma, as a prior: `rk.denoise("a.png", prior_of(net, channels=3, ...))`.

    net: (x, sigma (N,)) -> x, images in [0, 1].
    sigma_min, sigma_max: in the unit of images in [-1, 1], which is twice deepinv's.
    """
    return _prior_class()(net, channels, sigma_min, sigma_max)


@functools.cache
def _prior_class() -> type:
    """The class, made when torch is there."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    _models()
    from deepinv.models.GSPnP import GSPnP

    class DeepinvPrior(nn.Module):
        """D(x, sigma) = 2 net((x + 1) / 2, sigma / 2) - 1."""

        def __init__(self, net: nn.Module, channels: int, sigma_min: float, sigma_max: float) -> None:
            super().__init__()
            self.net = net.float().eval().requires_grad_(False)
            self.channels, self.sigma_min, self.sigma_max = channels, sigma_min, sigma_max
            self.size = self.levels = self.classes = None
            self.partial_noise = self.fills = False

        def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            """x (N, C, H, W), sigma (N,); returns like x, float32."""
            height, width = x.shape[-2:]
            below, right = (max(LEAST, math.ceil(side / MULTIPLE) * MULTIPLE) - side for side in (height, width))
            wide = F.pad((x + 1) / 2, (0, right, 0, below), mode="replicate")
            if isinstance(self.net, GSPnP):
                # A gradient step denoiser otherwise leaves its own step out of gradients.
                self.net.detach = not torch.is_grad_enabled()
            answer = self.net(wide, sigma.to(x.device, torch.float32) / 2)
            return 2 * answer[..., :height, :width].float() - 1

    return DeepinvPrior


# Of total variation: its weight in multiples of the noise, the least noise that is assumed (one grey level), and how
# much an inner problem smooths, in the unit of images in [-1, 1]. The answer depends on the first two alone.
WEIGHT, LEAST_NOISE, SMOOTHING = 0.8, 2 / 255, 0.2
# Iterations of deepinv's solution of an inner problem, which begins where the last one ended, and its step.
INNER, TAU = 20, 0.1


def solve_tv(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: ImageNoise,
    *,
    steps: int,
    weight: float = WEIGHT,
) -> Tensor:
    """Total variation: a classical baseline that asks no prior.

    argmin |A x - y|^2 / 2 + w TV(x), w = weight * max(sigma_y, one grey level), TV isotropic (Rudin, Osher and Fatemi
    1992), by `steps` iterations of ADMM (Boyd et al. 2011, section 3.1.1); the proximal point of TV is deepinv's
    `TVDenoiser`.
    """
    import torch

    w = weight * max(sigma_y, LEAST_NOISE)
    rho = w / SMOOTHING
    # A criterion would look at the whole batch, so that answers would depend on it.
    smooth = _models().TVDenoiser(n_it_max=INNER, crit=0.0, tau=TAU)
    z = operator.pinv(y)
    u = torch.zeros_like(z)
    for _ in range(steps):
        v = z - u
        x = v + operator.adjoint(operator.solve(y - operator.forward(v), rho))
        z = smooth(x + u, ths=SMOOTHING)
        u = u + x - z
    return z


@rk.hookimpl
def register_priors(register):
    """Bring `--model deepinv:NAME@FILE.pth`."""
    register(rk.PriorFamily("deepinv", load, HELP))


@rk.hookimpl
def register_solvers(register):
    """Bring `--solver tv`."""
    paper = "Rudin, Osher and Fatemi 1992 (doi 10.1016/0167-2789(92)90242-F)"
    register(rk.Solver("tv", paper, solve_tv, evaluations=lambda steps: 0))
