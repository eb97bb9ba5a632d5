# Public names, each imported on first use, and the types of the built-in recipes. Type checkers do not know the recipes
# of plugins, which `recipe_function` returns.
from .core.denoiser import GREY_LEVEL as GREY_LEVEL
from .core.denoiser import Denoiser as Denoiser
from .core.denoiser import PriorInfo as PriorInfo
from .core.denoiser import Wrapper as Wrapper
from .core.denoiser import denoise_at as denoise_at
from .core.family import PriorFamily as PriorFamily
from .core.filters import Blur as Blur
from .core.filters import Downsample as Downsample
from .core.filters import gaussian_kernel as gaussian_kernel
from .core.filters import motion_kernel as motion_kernel
from .core.ladders import geometric_ladder as geometric_ladder
from .core.ladders import karras_ladder as karras_ladder
from .core.ladders import known_sigma as known_sigma
from .core.ladders import ladder_for as ladder_for
from .core.linear_operator import linear_operator as linear_operator
from .core.network import ImageNetwork as ImageNetwork
from .core.network import NetworkInfo as NetworkInfo
from .core.noise import ImageNoise as ImageNoise
from .core.noise_estimation import estimate_noise as estimate_noise
from .core.noise_estimation import estimate_sigma as estimate_sigma
from .core.noise_estimation import sigma_per_image as sigma_per_image
from .core.operators import ColourMatrix as ColourMatrix
from .core.operators import Composition as Composition
from .core.operators import Identity as Identity
from .core.operators import LinearOperator as LinearOperator
from .core.operators import Masking as Masking
from .core.operators import Mosaic as Mosaic
from .core.operators import SVDOperator as SVDOperator
from .core.operators import grayscale as grayscale
from .core.options import ClassOption as ClassOption
from .core.options import ImageOption as ImageOption
from .core.options import JpegTables as JpegTables
from .core.options import ModelOption as ModelOption
from .core.options import NetworkOption as NetworkOption
from .core.options import Option as Option
from .core.options import SolverOption as SolverOption
from .core.recipe import Recipe as Recipe
from .core.recipe import recipe as recipe
from .core.solver import Solver as Solver
from .core.svd import SVD as SVD
from .errors import ModelError as ModelError
from .errors import OptionError as OptionError
from .errors import RestorekitError as RestorekitError
from .errors import RestorekitWarning as RestorekitWarning
from .evaluation.metrics import psnr as psnr
from .evaluation.metrics import ssim as ssim
from .initial.least_squares import initial_estimate as initial_estimate
from .initial.smooth_fill import smooth_fill as smooth_fill
from .models.named import solve_ddnm as solve_ddnm
from .models.named import solve_ddnm_plus as solve_ddnm_plus
from .models.named import solve_ddrm as solve_ddrm
from .models.named import solve_diffpir as solve_diffpir
from .models.named import solve_dpir as solve_dpir
from .models.named import solve_dps as solve_dps
from .models.named import solve_langevin as solve_langevin
from .models.named import solve_pigdm as solve_pigdm
from .models.named import solve_repaint as solve_repaint
from .models.registry import load_classifier as load_classifier
from .models.registry import load_prior as load_prior
from .plugins.discovery import solver_named as solver_named
from .plugins.discovery import solvers as solvers
from .plugins.hooks import hookimpl as hookimpl
from .priors.function import prior_from as prior_from
from .priors.guided import ClassifierFree as ClassifierFree
from .priors.guided import ClassifierGuided as ClassifierGuided
from .priors.guided import NoisyClassifier as NoisyClassifier
from .priors.known_pixels import KnownPixels as KnownPixels
from .priors.labelled import Labelled as Labelled
from .priors.network import TiledNetwork as TiledNetwork
from .priors.self_ensemble import SelfEnsembleView as SelfEnsembleView
from .priors.sigma_interpolated import SigmaInterpolated as SigmaInterpolated
from .priors.tiled import Tiled as Tiled
from .run.api import recipe_function as recipe_function
from .run.image_input import ImageInput as ImageInput
from .run.notebook import BeforeAfter as BeforeAfter
from .run.notebook import RestoredImage as RestoredImage
from .run.notebook import before_after as before_after
from .run.restore_folder import restore_folder as restore_folder
from .run.sample import sample as sample
from .run.settings import RunReport as RunReport
from .sampling.data_consistency import plug_and_play as plug_and_play
from .sampling.data_consistency import sample_ddnm as sample_ddnm
from .sampling.langevin import sample_langevin as sample_langevin
from .sampling.samplers import encode_ddim as encode_ddim
from .sampling.samplers import sample_ancestral as sample_ancestral
from .sampling.samplers import sample_ddim as sample_ddim
from .sampling.samplers import sample_dpmpp_2m as sample_dpmpp_2m
from .sampling.samplers import sample_euler as sample_euler
from .sampling.samplers import sample_heun as sample_heun

__all__: list[str]
__version__: str

# Types of the built-in recipes, generated by `python -m tests.stub`; a test compares them with the recipes.

import collections.abc as _abc
import pathlib as _pathlib
import typing as _t

import numpy.typing as _npt
import PIL.Image as _Image
import torch as _torch

# What is returned as it is given.
_Same = _t.TypeVar(
    "_Same",
    _torch.Tensor,
    _npt.NDArray[_t.Any],
    _Image.Image,
    list[_torch.Tensor],
    list[_npt.NDArray[_t.Any]],
    list[_Image.Image],
)

@_t.overload
def complete(
    image: _Same,
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    label: str,
    classifier_scale: float | _t.Literal["auto"] = "auto",
    cfg_scale: float | _t.Literal["auto"] = "auto",
    classifier: Denoiser | NoisyClassifier | str | _pathlib.Path = "classifier-patches",
    refiner: Denoiser | NoisyClassifier | str | _pathlib.Path = "ddpm-fill",
    candidates: int | _t.Literal["auto"] = "auto",
    steps: int = 50,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    texture: _t.Literal["prior", "photo"] = "prior",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> _Same:
    """Fill a hole with a given class; all other pixels stay bit-identical."""

@_t.overload
def complete(
    image: str | _pathlib.Path,
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    label: str,
    classifier_scale: float | _t.Literal["auto"] = "auto",
    cfg_scale: float | _t.Literal["auto"] = "auto",
    classifier: Denoiser | NoisyClassifier | str | _pathlib.Path = "classifier-patches",
    refiner: Denoiser | NoisyClassifier | str | _pathlib.Path = "ddpm-fill",
    candidates: int | _t.Literal["auto"] = "auto",
    steps: int = 50,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    texture: _t.Literal["prior", "photo"] = "prior",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> RestoredImage: ...
@_t.overload
def complete(
    image: list[str] | list[_pathlib.Path],
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    label: str,
    classifier_scale: float | _t.Literal["auto"] = "auto",
    cfg_scale: float | _t.Literal["auto"] = "auto",
    classifier: Denoiser | NoisyClassifier | str | _pathlib.Path = "classifier-patches",
    refiner: Denoiser | NoisyClassifier | str | _pathlib.Path = "ddpm-fill",
    candidates: int | _t.Literal["auto"] = "auto",
    steps: int = 50,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    texture: _t.Literal["prior", "photo"] = "prior",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> list[_Image.Image]: ...
@_t.overload
def complete(
    image: ImageInput | _abc.Sequence[ImageInput],
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    label: str,
    classifier_scale: float | _t.Literal["auto"] = "auto",
    cfg_scale: float | _t.Literal["auto"] = "auto",
    classifier: Denoiser | NoisyClassifier | str | _pathlib.Path = "classifier-patches",
    refiner: Denoiser | NoisyClassifier | str | _pathlib.Path = "ddpm-fill",
    candidates: int | _t.Literal["auto"] = "auto",
    steps: int = 50,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    texture: _t.Literal["prior", "photo"] = "prior",
    seed: int | None = 0,
    samples: int,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> _t.Any: ...
@_t.overload
def denoise(
    image: _Same,
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    noise: _t.Literal["auto", "camera", "gaussian"] = "auto",
    sigma: float | _t.Literal["auto"] = "auto",
    mode: _t.Literal["mean", "sample"] = "mean",
    steps: int = 20,
    strength: float = 1.0,
    camera_model: Denoiser | NoisyClassifier | str | _pathlib.Path = "camera-photo",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> _Same:
    """Remove noise from photos."""

@_t.overload
def denoise(
    image: str | _pathlib.Path,
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    noise: _t.Literal["auto", "camera", "gaussian"] = "auto",
    sigma: float | _t.Literal["auto"] = "auto",
    mode: _t.Literal["mean", "sample"] = "mean",
    steps: int = 20,
    strength: float = 1.0,
    camera_model: Denoiser | NoisyClassifier | str | _pathlib.Path = "camera-photo",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> RestoredImage: ...
@_t.overload
def denoise(
    image: list[str] | list[_pathlib.Path],
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    noise: _t.Literal["auto", "camera", "gaussian"] = "auto",
    sigma: float | _t.Literal["auto"] = "auto",
    mode: _t.Literal["mean", "sample"] = "mean",
    steps: int = 20,
    strength: float = 1.0,
    camera_model: Denoiser | NoisyClassifier | str | _pathlib.Path = "camera-photo",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> list[_Image.Image]: ...
@_t.overload
def denoise(
    image: ImageInput | _abc.Sequence[ImageInput],
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    noise: _t.Literal["auto", "camera", "gaussian"] = "auto",
    sigma: float | _t.Literal["auto"] = "auto",
    mode: _t.Literal["mean", "sample"] = "mean",
    steps: int = 20,
    strength: float = 1.0,
    camera_model: Denoiser | NoisyClassifier | str | _pathlib.Path = "camera-photo",
    seed: int | None = 0,
    samples: int,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> _t.Any: ...
@_t.overload
def inpaint(
    image: _Same,
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    mode: _t.Literal["auto", "mean", "sample"] = "auto",
    steps: int = 30,
    method: _t.Literal["auto", "ddnm", "langevin"] = "auto",
    inner_steps: int = 10,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    scales: int | _t.Literal["auto"] = "auto",
    texture: _t.Literal["auto", "photo", "prior"] = "auto",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> _Same:
    """Fill the masked pixels; all other pixels stay bit-identical."""

@_t.overload
def inpaint(
    image: str | _pathlib.Path,
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    mode: _t.Literal["auto", "mean", "sample"] = "auto",
    steps: int = 30,
    method: _t.Literal["auto", "ddnm", "langevin"] = "auto",
    inner_steps: int = 10,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    scales: int | _t.Literal["auto"] = "auto",
    texture: _t.Literal["auto", "photo", "prior"] = "auto",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> RestoredImage: ...
@_t.overload
def inpaint(
    image: list[str] | list[_pathlib.Path],
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    mode: _t.Literal["auto", "mean", "sample"] = "auto",
    steps: int = 30,
    method: _t.Literal["auto", "ddnm", "langevin"] = "auto",
    inner_steps: int = 10,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    scales: int | _t.Literal["auto"] = "auto",
    texture: _t.Literal["auto", "photo", "prior"] = "auto",
    seed: int | None = 0,
    samples: _t.Literal[1] = 1,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> list[_Image.Image]: ...
@_t.overload
def inpaint(
    image: ImageInput | _abc.Sequence[ImageInput],
    prior: Denoiser | str | _pathlib.Path | None = None,
    *,
    mask: ImageInput | _abc.Sequence[ImageInput],
    invert_mask: bool = False,
    mask_channel: _t.Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"] = "auto",
    resize_mask: bool = False,
    mode: _t.Literal["auto", "mean", "sample"] = "auto",
    steps: int = 30,
    method: _t.Literal["auto", "ddnm", "langevin"] = "auto",
    inner_steps: int = 10,
    resample: int | _t.Literal["auto"] = "auto",
    eta: float = 0.85,
    scales: int | _t.Literal["auto"] = "auto",
    texture: _t.Literal["auto", "photo", "prior"] = "auto",
    seed: int | None = 0,
    samples: int,
    device: str = "auto",
    precision: _t.Literal["auto", "float32", "bfloat16"] = "auto",
    tile: int | None = None,
) -> _t.Any: ...
