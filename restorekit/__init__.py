"""restorekit: restore folders of real photos with generative priors.

The names below are what a plugin or a notebook may use. Each is imported when it is first asked for, so that
`import restorekit` and `restorekit --help` do not load torch. Every recipe, a plugin's too, is also a function here:
`restorekit.denoise(...)`, `restorekit.inpaint(...)`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restorekit.builtin.noise_level import estimate_sigma as estimate_sigma
    from restorekit.core.denoiser import Denoiser as Denoiser
    from restorekit.core.denoiser import denoise_at as denoise_at
    from restorekit.core.family import PriorFamily as PriorFamily
    from restorekit.core.filters import Blur as Blur
    from restorekit.core.filters import Downsample as Downsample
    from restorekit.core.filters import gaussian_kernel as gaussian_kernel
    from restorekit.core.filters import motion_kernel as motion_kernel
    from restorekit.core.ladders import geometric_ladder as geometric_ladder
    from restorekit.core.ladders import karras_ladder as karras_ladder
    from restorekit.core.ladders import known_sigma as known_sigma
    from restorekit.core.ladders import ladder_for as ladder_for
    from restorekit.core.noise import ImageNoise as ImageNoise
    from restorekit.core.operators import ColourMatrix as ColourMatrix
    from restorekit.core.operators import Composition as Composition
    from restorekit.core.operators import Identity as Identity
    from restorekit.core.operators import LinearOperator as LinearOperator
    from restorekit.core.operators import Masking as Masking
    from restorekit.core.operators import Mosaic as Mosaic
    from restorekit.core.operators import SpectralOperator as SpectralOperator
    from restorekit.core.operators import grayscale as grayscale
    from restorekit.core.recipe import ChosenSolver as ChosenSolver
    from restorekit.core.recipe import ClassLabel as ClassLabel
    from restorekit.core.recipe import Option as Option
    from restorekit.core.recipe import OtherModel as OtherModel
    from restorekit.core.recipe import Recipe as Recipe
    from restorekit.core.recipe import SideImage as SideImage
    from restorekit.core.recipe import recipe as recipe
    from restorekit.core.solver import Solver as Solver
    from restorekit.core.spectrum import Spectrum as Spectrum
    from restorekit.errors import ModelError as ModelError
    from restorekit.errors import OptionError as OptionError
    from restorekit.errors import RestorekitError as RestorekitError
    from restorekit.errors import RestorekitWarning as RestorekitWarning
    from restorekit.hooks import hookimpl as hookimpl
    from restorekit.models.registry import load_prior as load_prior
    from restorekit.plugins import solver_named as solver_named
    from restorekit.priors.between import Between as Between
    from restorekit.priors.fill import smooth_fill as smooth_fill
    from restorekit.priors.given import Given as Given
    from restorekit.priors.guided import ClassifierFree as ClassifierFree
    from restorekit.priors.guided import ClassifierGuided as ClassifierGuided
    from restorekit.priors.guided import NoisyClassifier as NoisyClassifier
    from restorekit.priors.labelled import Labelled as Labelled
    from restorekit.priors.tiled import Tiled as Tiled
    from restorekit.priors.tiled import only_where as only_where
    from restorekit.priors.turned import TURNS as TURNS
    from restorekit.priors.turned import turned as turned
    from restorekit.sampling.consistent import plug_and_play as plug_and_play
    from restorekit.sampling.consistent import sample_consistent as sample_consistent
    from restorekit.sampling.langevin import sample_langevin as sample_langevin
    from restorekit.sampling.samplers import sample_ancestral as sample_ancestral
    from restorekit.sampling.samplers import sample_ddim as sample_ddim
    from restorekit.sampling.samplers import sample_dpmpp_2m as sample_dpmpp_2m
    from restorekit.sampling.samplers import sample_euler as sample_euler
    from restorekit.sampling.samplers import sample_heun as sample_heun
    from restorekit.sampling.solvers import SOLVERS as SOLVERS
    from restorekit.sampling.solvers import first_guess as first_guess
    from restorekit.sampling.solvers import solve_ddnm as solve_ddnm
    from restorekit.sampling.solvers import solve_ddnm_plus as solve_ddnm_plus
    from restorekit.sampling.solvers import solve_ddrm as solve_ddrm
    from restorekit.sampling.solvers import solve_diffpir as solve_diffpir
    from restorekit.sampling.solvers import solve_dpir as solve_dpir
    from restorekit.sampling.solvers import solve_dps as solve_dps
    from restorekit.sampling.solvers import solve_langevin as solve_langevin
    from restorekit.sampling.solvers import solve_pigdm as solve_pigdm
    from restorekit.sampling.solvers import solve_repaint as solve_repaint

__version__ = "0.1.0"

_MODULES = {
    "builtin.noise_level": ("estimate_sigma",),
    "core.denoiser": ("Denoiser", "denoise_at"),
    "core.ladders": ("geometric_ladder", "karras_ladder", "known_sigma", "ladder_for"),
    "core.family": ("PriorFamily",),
    "core.noise": ("ImageNoise",),
    "core.filters": ("Blur", "Downsample", "gaussian_kernel", "motion_kernel"),
    "core.operators": (
        "ColourMatrix",
        "Composition",
        "Identity",
        "LinearOperator",
        "Masking",
        "Mosaic",
        "SpectralOperator",
        "grayscale",
    ),
    "core.recipe": ("ChosenSolver", "ClassLabel", "Option", "OtherModel", "Recipe", "SideImage", "recipe"),
    "core.solver": ("Solver",),
    "core.spectrum": ("Spectrum",),
    "errors": ("ModelError", "OptionError", "RestorekitError", "RestorekitWarning"),
    "hooks": ("hookimpl",),
    "models.registry": ("load_prior",),
    "plugins": ("solver_named",),
    "priors.between": ("Between",),
    "priors.fill": ("smooth_fill",),
    "priors.given": ("Given",),
    "priors.guided": ("ClassifierFree", "ClassifierGuided", "NoisyClassifier"),
    "priors.labelled": ("Labelled",),
    "priors.tiled": ("Tiled", "only_where"),
    "priors.turned": ("TURNS", "turned"),
    "sampling.consistent": ("plug_and_play", "sample_consistent"),
    "sampling.langevin": ("sample_langevin",),
    "sampling.solvers": (
        "SOLVERS",
        "first_guess",
        "solve_ddnm",
        "solve_ddnm_plus",
        "solve_ddrm",
        "solve_diffpir",
        "solve_dpir",
        "solve_dps",
        "solve_langevin",
        "solve_pigdm",
        "solve_repaint",
    ),
    "sampling.samplers": ("sample_ancestral", "sample_ddim", "sample_dpmpp_2m", "sample_euler", "sample_heun"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"restorekit.{_PLACES[name]}"), name)
    if name.startswith("_") or importlib.util.find_spec(f"restorekit.{name}") is not None:
        # `from restorekit import module` asks here first, and goes on to import it.
        raise AttributeError(name)
    from restorekit.commands import python_function
    from restorekit.plugins import recipes

    found = recipes().get(name.replace("_", "-"))
    if found is None:
        raise AttributeError(f"module 'restorekit' has no attribute or recipe {name!r}")
    return python_function(found)


def __dir__() -> list[str]:
    from restorekit.plugins import recipes

    return sorted([*globals(), *__all__, *(name.replace("-", "_") for name in recipes())])
