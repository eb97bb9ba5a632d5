"""deepinv's denoisers as priors of restorekit, and total variation as a solver.

deepinv uses images in [0, 1] and sigma in that unit; only `DeepinvPrior` and `solve_tv` depend on this.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import restorekit as rk
from restorekit.errors import shortened, unknown

# torch and deepinv are imported inside functions, because `restorekit --help` imports this module.
if TYPE_CHECKING:
    from torch import Tensor, nn

    from restorekit import Denoiser, ImageNoise, LinearOperator

HELP = "A denoiser of deepinv, NAME or NAME@FILE.pth: drunet, gsdrunet, ffdnet."
# Half a grey level, in the unit of images in [-1, 1]: noise below the resolution of 8 bits.
SIGMA_MIN = 1 / 255
# Networks downsample an image three times by 2; deepinv's DRUNet splits images that are smaller than MIN_SIDE or not a
# multiple of MULTIPLE.
MULTIPLE, MIN_SIDE = 8, 32


@dataclass(frozen=True)
class Kind:
    """A denoiser of deepinv.

    Attributes:
        build: returns the network with the sizes of the given weights (names to tensors).
        download: returns the network with the weights that deepinv downloads.
        sigma_max: largest sigma that it was trained for, in 8-bit grey levels.
    """

    build: Callable[[Mapping[str, Tensor]], nn.Module]
    download: Callable[[], nn.Module]
    sigma_max: float


def _drunet_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of deepinv's DRUNet that fit the weights."""
    head = weights["m_head.weight"].shape
    blocks = len({name.split(".")[1] for name in weights if name.startswith("m_down1.") and ".res." in name})
    widths = (head[0], *(weights[f"m_down{level}.{blocks}.weight"].shape[0] for level in (1, 2, 3)))
    return {"in_channels": head[1] - 1, "out_channels": head[1] - 1, "nc": widths, "nb": blocks}


def _drunet(weights: Mapping[str, Tensor]) -> nn.Module:
    return _models().DRUNet(**_drunet_sizes(weights), pretrained=None, device=None)


def _gsdrunet(weights: Mapping[str, Tensor]) -> nn.Module:
    prefix = "student_grad.model."
    inner = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return _models().GSDRUNet(**_drunet_sizes(inner), pretrained=None, device=None)


def _ffdnet(weights: Mapping[str, Tensor]) -> nn.Module:
    first = weights["blocks.0.0.weight"].shape
    layers = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    sizes = {"n_conv_layers": layers, "nf": first[0], "img_channels": first[1] // 4 - 1}
    return _models().FFDNet(
        **sizes, last_conv_bias=f"blocks.{layers - 1}.bias" in weights, pretrained=None, device=None
    )


# sigma_max from DPIR (Zhang et al. 2021, arXiv 2008.13751), gradient step denoisers (Hurault et al. 2022, arXiv
# 2110.03220) and FFDNet (Zhang et al. 2018, arXiv 1710.04026).
KINDS = {
    "drunet": Kind(_drunet, lambda: _models().DRUNet(pretrained="download"), 50),
    "gsdrunet": Kind(_gsdrunet, lambda: _models().GSDRUNet(pretrained="download"), 50),
    "ffdnet": Kind(
        _ffdnet, lambda: _models().FFDNet(n_conv_layers=12, nf=96, img_channels=3, pretrained="download"), 75
    ),
}


def _models() -> Any:
    """Return the module deepinv.models, whose import takes seconds."""
    try:
        import deepinv.models
    except ModuleNotFoundError as error:
        text = f"deepinv: {error.name} is not installed; pip install restorekit-deepinv installs all requirements"
        raise rk.ModelError(text) from error
    return deepinv.models


def load(text: str) -> Denoiser:
    """Load the prior `NAME@FILE.pth`, or `NAME` with the weights that deepinv downloads; float32 on the CPU.

    The file contains a state dict, alone or as "state_dict" of a checkpoint of deepinv's trainer. Width, depth and
    number of channels are read from it.
    """
    name, separator, file = text.partition("@")
    if name not in KINDS:
        raise rk.ModelError(unknown("denoiser", name, KINDS, f"deepinv:{text}"))
    kind = KINDS[name]
    net = _download(kind, name) if not separator else _from_file(kind, name, Path(file))
    channels = next(p.shape[0] for p in reversed(list(net.parameters())) if p.ndim == 4)
    channels = channels // 4 if name == "ffdnet" else channels
    return prior_of(net, channels=channels, sigma_max=2 * kind.sigma_max / 255)


def weights_file(text: str) -> Path | None:
    """Return the file of `NAME@FILE.pth`; None for the weights that deepinv downloads."""
    _, separator, file = text.partition("@")
    return Path(file) if separator else None


def _download(kind: Kind, name: str) -> nn.Module:
    _models()
    from deepinv.utils import DownloadError

    try:
        return kind.download()
    except DownloadError as error:
        text = f"deepinv:{name}: {' '.join(str(error).split())}; deepinv:{name}@FILE.pth loads a file instead"
        raise rk.ModelError(text) from error


def _from_file(kind: Kind, name: str, file: Path) -> nn.Module:
    import torch

    from restorekit.models.files import misfit, shapes_of

    source = f"deepinv:{name}@{file}"
    _models()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise rk.ModelError(f"{source}: no such file (in {Path.cwd()})") from None
    except Exception as error:  # unpickling damaged data can raise anything
        raise rk.ModelError(f"{source}: not a weights file ({_first_line(error)})") from error
    weights = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    problem = _invalid(weights)
    if problem:
        raise rk.ModelError(f"{source}: not a weights file ({problem})")
    try:
        # Without memory for its weights, since a damaged file can describe a network of any size.
        with torch.device("meta"):
            expected = kind.build(weights).state_dict()
        problem = misfit(shapes_of(expected), shapes_of(weights))
    except Exception as error:  # noqa: BLE001 - the sizes in a damaged file can be anything
        problem = _first_line(error)
    if problem:
        raise rk.ModelError(f"{source}: the weights are not those of {name} ({problem})")
    net = kind.build(weights)
    net.load_state_dict(weights)
    return net


def _invalid(weights: Any) -> str:
    """Describe why the content of a file is not a state dict of finite numbers; "" if it is one."""
    import torch

    if not isinstance(weights, dict) or not weights:
        return f"found {type(weights).__name__}, allowed: names and tensors"
    for name, value in weights.items():
        if not (isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided):
            return f"{shortened(name)} is {type(value).__name__}, allowed: a dense tensor"
        # Views may repeat the numbers of a small file.
        if value.device.type != "cpu" or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            return f"{shortened(name)} has {value.numel()} values, more than the file contains"
        if not value.is_floating_point() or not value.isfinite().all():
            return f"{shortened(name)} contains other values than finite real numbers"
    return ""


def _first_line(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", 200)


def prior_of(net: nn.Module, *, channels: int, sigma_max: float, sigma_min: float = SIGMA_MIN) -> Denoiser:
    """Return a denoiser of deepinv as a prior: `rk.denoise("a.png", prior_of(net, channels=3, ...))`.

    net: (x, sigma (N,)) -> x, for images in [0, 1].
    sigma_min, sigma_max: in the unit of images in [-1, 1], twice deepinv's values.
    """
    return _prior_class()(net, channels, sigma_min, sigma_max)


@functools.cache
def _prior_class() -> type:
    """Return the class `DeepinvPrior`, which is defined on first use because it needs torch."""
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
            self.info = rk.PriorInfo(channels, None, sigma_min, sigma_max)

        def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            """Return D(x, sigma), float32: x (N, C, H, W), sigma (N,)."""
            height, width = x.shape[-2:]
            bottom, right = (max(MIN_SIDE, math.ceil(side / MULTIPLE) * MULTIPLE) - side for side in (height, width))
            padded = F.pad((x + 1) / 2, (0, right, 0, bottom), mode="replicate")
            if isinstance(self.net, GSPnP):
                # Otherwise a gradient step denoiser detaches its result from the graph.
                self.net.detach = not torch.is_grad_enabled()
            result = self.net(padded, sigma.to(x.device, torch.float32) / 2)
            return 2 * result[..., :height, :width].float() - 1

    return DeepinvPrior


# Total variation: its weight in multiples of sigma_y, and the smoothing of an inner problem in the unit of images in
# [-1, 1], on which the result does not depend.
WEIGHT, SMOOTHING = 0.8, 0.2
# Number of iterations of deepinv's solver of an inner problem, which starts from its previous result, and step size.
INNER_STEPS, TAU = 20, 0.1


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
    """Total variation: a classical baseline that ignores the prior.

    argmin |A x - y|^2 / 2 + w TV(x), w = weight * max(sigma_y, one grey level), TV isotropic (Rudin, Osher and Fatemi
    1992), by `steps` iterations of ADMM (Boyd et al. 2011, section 3.1.1); the proximal point of TV is deepinv's
    `TVDenoiser`.
    """
    import torch

    w = weight * max(sigma_y, rk.GREY_LEVEL)
    rho = w / SMOOTHING
    # A stopping criterion would depend on the whole batch, and so would the results.
    smooth = _models().TVDenoiser(n_it_max=INNER_STEPS, crit=0.0, tau=TAU)
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
    """Register the models `deepinv:NAME@FILE.pth`."""
    register(rk.PriorFamily("deepinv", load, HELP, file=weights_file))


@rk.hookimpl
def register_solvers(register):
    """Register the solver `tv`."""
    paper = "Rudin, Osher and Fatemi 1992 (doi 10.1016/0167-2789(92)90242-F)"
    register(rk.Solver("tv", paper, solve_tv, evaluations=lambda steps: 0))
