from __future__ import annotations

import inspect

import pytest

from restorekit.core.docstrings import split_docstring

GOOGLE = """
    Soften a photo.

    The prior decides what is noise.

    Args:
        y (Tensor): The photo.
        sigma: Noise level: in
            grey levels.

            Another paragraph.
        rounds, passes (int): Number of rounds.

    Returns:
        The result.

    Note: this line stays.
"""
NUMPY = """
    Soften a photo.

    The prior decides what is noise.

    Parameters
    ----------
    y : Tensor
        The photo.
    sigma : float, optional
        Noise level: in
        grey levels.

        Another paragraph.
    rounds, passes
        Number of rounds.

    Returns
    -------
    Tensor
        The result.

    Notes
    -----
    This line stays.
"""


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY], ids=["google", "numpy"])
def test_parameters_are_described_by_their_section(doc: str) -> None:
    text, found = split_docstring(inspect.cleandoc(doc))
    expected = {"y": "The photo.", "sigma": "Noise level: in grey levels."}
    assert found == expected | dict.fromkeys(("rounds", "passes"), "Number of rounds.")
    assert text.startswith("Soften a photo.\n\nThe prior decides what is noise.\n\nNote")
    assert text.endswith("his line stays.")
    assert "The result." not in text


@pytest.mark.parametrize("doc", ["", "Fill.", "Fill a: hole.\n\nArgs: none\n", "Fill.\n\nNote:\n    sigma: 3", "---"])
def test_other_docstrings_are_unchanged(doc: str) -> None:
    assert split_docstring(doc) == (doc.strip(), {})


def test_an_empty_section_describes_nothing() -> None:
    assert split_docstring("Fill.\n\nArgs:") == ("Fill.", {})
    assert split_docstring("Fill.\n\nParameters\n----------") == ("Fill.", {})
    assert split_docstring("Fill.\n\nArgs:\n    a:\n    b:\n        Text.") == ("Fill.", {"a": "", "b": "Text."})
