"""The description of networks, and the option for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from restorekit.core.denoiser import PriorInfo
from restorekit.core.network import NetworkInfo
from restorekit.core.options import NetworkOption
from restorekit.core.recipe import Recipe, recipe
from restorekit.errors import OptionError

if TYPE_CHECKING:
    from restorekit.priors.network import TiledNetwork


def load(path: Path) -> Any:
    raise AssertionError("the option is only validated")


@recipe("enlarge", model=None)
def enlarge(y, prior, noise, *, weights: Annotated[TiledNetwork, NetworkOption("The weights.", load)]):
    """Enlarge."""


class Network:
    def __init__(self, info: object) -> None:
        self.info = info

    def __call__(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"channels": 4}, "channels is 4, allowed: 1 or 3"),
        ({"channels": 3, "scale": 0}, "scale is 0, allowed: an integer >= 1"),
        ({"channels": 3, "scale": 1.5}, r"scale is 1.5, allowed: an integer"),
        ({"channels": 3, "multiple": 0}, "multiple is 0, allowed: an integer >= 1"),
        ({"channels": 3, "tiles": "no"}, "tiles is 'no', allowed: allowed, discouraged, never"),
    ],
)
def test_facts_that_are_not_allowed_are_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkInfo(**facts)


def test_a_weights_file_is_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert enlarge.validate({"weights": "a.pth"}).options["weights"] == tmp_path / "a.pth"
    assert enlarge.validate({"weights": Path("/b.pth")}).options["weights"] == Path("/b.pth")
    network = Network(NetworkInfo(3))
    assert enlarge.validate({"weights": network}).options["weights"] is network


@pytest.mark.parametrize("value", [3, "", Network(PriorInfo(3, None, 0.1, 1.0)), Network(None)], ids=str)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(OptionError, match=r"enlarge weights: found .*, allowed: the path of a weights file"):
        enlarge.validate({"weights": value})


def test_weights_are_required() -> None:
    with pytest.raises(OptionError, match="weights is missing; allowed: the path of a weights file"):
        enlarge.validate({})
    assert enlarge.describe_options() == "weights: The weights. Allowed: the path of a weights file."
    with pytest.raises(TypeError, match="parameter 'weights' has a default; allowed: none"):

        @recipe("wrong", model=None)
        def wrong(y, prior, noise, *, weights: Annotated[TiledNetwork, NetworkOption("W.", load)] = "a.pth"):
            """Do something."""


def test_a_recipe_may_have_no_prior() -> None:
    assert isinstance(enlarge, Recipe)
    assert enlarge.model is None
