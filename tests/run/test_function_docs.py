"""The docstring of a recipe as a Python function describes every argument."""

from __future__ import annotations

import inspect

import pytest

import restorekit as rk
from restorekit.core.docstrings import split_docstring
from restorekit.plugins.discovery import recipes
from restorekit.run.api import python_function


@pytest.mark.parametrize("name", ["denoise", "inpaint", "complete"])
def test_every_argument_is_described(name: str) -> None:
    function = python_function(recipes()[name])
    text, arguments = split_docstring(inspect.getdoc(function) or "")
    assert text == recipes()[name].doc
    assert set(arguments) == set(inspect.signature(function).parameters)
    assert all(arguments.values())


def test_an_option_is_described_with_its_help_range_and_default() -> None:
    lines = (rk.inpaint.__doc__ or "").splitlines()
    assert "    steps: Number of noise levels. Allowed: an integer from 1 to 1000. Default: 30." in lines
    assert "    prior: a denoiser, or what `load_prior` accepts. Default: ddpm-fill." in lines
    assert "    invert_mask, mask_channel, resize_mask: how mask is read, as on the command line." in lines


def test_samples_are_described_for_recipes_that_have_them() -> None:
    def same(y, prior, noise):
        """Do nothing."""

    assert "samples:" not in str(python_function(rk.recipe("same")(same)).__doc__)
    assert "samples:" in str(rk.inpaint.__doc__)
