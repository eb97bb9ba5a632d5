"""Recipes with a network from a file and without a prior: the command line, Python, records, strips."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.core.network import NetworkInfo
from restorekit.core.recipe import Recipe
from restorekit.errors import ModelError, OptionError
from restorekit.run.api import python_function, restore
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.images import read_photo
from restorekit.run.manifest import MANIFEST, digest
from restorekit.run.photo import Photo
from restorekit.run.plan import plan_jobs
from restorekit.run.restoration import restore_photo
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior, check_recipe
from tests.run.test_folder import save

ENGINE = make_engine("cpu", "float32")
# The weights file contains a factor and a scale.
RECIPE = '''
from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
import restorekit as rk

if TYPE_CHECKING:
    from restorekit import TiledNetwork


def load(path):
    import torch

    class Network(torch.nn.Module):
        def __init__(self, factor, scale):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(factor))
            self.info = rk.NetworkInfo(3, scale, name="Factor")

        def forward(self, x):
            large = x.repeat_interleave(self.info.scale, 2).repeat_interleave(self.info.scale, 3)
            return self.factor * large

    words = path.read_text().split()
    if words[0] == "crash":
        raise ValueError("no such\\nnetwork")
    if words[0] == "nothing":
        return None
    if words[0] == "refuse":
        raise rk.ModelError(f"{path}: refused")
    return Network(float(words[0]), int(words[1]))


def scaled(height, width, options):
    scale = options["weights"].info.scale
    return scale * height, scale * width


@rk.recipe("brighten", model=None, size=scaled, strips=lambda sample, info, options: {} if info is None else None)
def brighten(y, prior, noise, *, weights: Annotated[TiledNetwork, rk.NetworkOption("The weights.", load)]):
    """Multiply photos."""
    assert prior is None
    return weights(y)
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "brighten.py").write_text(RECIPE)
    return tmp_path / "brighten.py"


@pytest.fixture
def brighten(file: Path) -> Recipe:
    spec = importlib.util.spec_from_file_location("brighten_recipe", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["brighten_recipe"] = module
    with contextlib.ExitStack() as stack:
        stack.callback(sys.modules.pop, "brighten_recipe")
        spec.loader.exec_module(module)
    return module.brighten  # type: ignore[no-any-return]


def weights(tmp_path: Path, text: str = "0.5 2") -> Path:
    (tmp_path / "weights.txt").write_text(text)
    return tmp_path / "weights.txt"


def test_results_are_made_again_if_the_content_of_the_weights_file_changes(
    tmp_path: Path, restorekit, file: Path
) -> None:
    save(tmp_path / "in" / "a.png", 16, 20, 3)
    command = "run", file, tmp_path / "in", "--weights", weights(tmp_path), "-o", tmp_path / "out"
    code, _, err = restorekit(*command)
    assert (code, err) == (0, "")
    image = read_photo(tmp_path / "in" / "a.png").tensor()
    got = read_photo(tmp_path / "out" / "a.png").tensor()
    expected = 0.5 * image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(got, expected, rtol=0, atol=1.01 / 255)
    record = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert record["request"]["models"] == {"weights": digest(tmp_path / "weights.txt")}
    assert record["request"]["options"] == {}
    assert record["models"] == {"weights": "../weights.txt"}
    assert "1 skipped" in restorekit(*command)[1]
    shutil.copy(tmp_path / "weights.txt", tmp_path / "copy.txt")
    renamed = [tmp_path / "copy.txt" if word == tmp_path / "weights.txt" else word for word in command]
    assert "1 skipped" in restorekit(*renamed)[1], "the name of the file does not matter"
    weights(tmp_path, "0.25 2")
    assert "1 restored" in restorekit(*command)[1]
    got = read_photo(tmp_path / "out" / "a.png").tensor()
    torch.testing.assert_close(got, expected / 2, rtol=0, atol=1.01 / 255)


def test_results_are_reproduced_with_the_same_weights_only(tmp_path: Path, restorekit, file: Path) -> None:
    save(tmp_path / "in" / "a.png", 16, 20, 3)
    restorekit("run", file, tmp_path / "in", "--weights", weights(tmp_path), "-o", tmp_path / "out")
    code, text, err = restorekit("replay", tmp_path / "out" / "a.png")
    assert (code, err) == (0, "")
    assert "is identical" in text
    weights(tmp_path, "0.25 2")
    code, _, err = restorekit("replay", tmp_path / "out" / "a.png", "--overwrite")
    assert code == 1
    assert "cannot be reproduced; changed since: models" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crash", r"brighten weights: .*weights.txt: ValueError: no such network \(.*brighten.py, line \d+\)"),
        ("refuse", r".*weights.txt: refused"),
        ("nothing", "brighten weights: the plugin returned NoneType, allowed: an rk.ImageNetwork with rk.NetworkInfo"),
        (None, r"brighten weights: .*weights.txt: no such file"),
    ],
)
def test_files_that_cannot_be_loaded_are_refused_in_one_line(
    tmp_path: Path, restorekit, brighten: Recipe, file: Path, text: str | None, message: str
) -> None:
    save(tmp_path / "a.png", 8, 8, 3)
    path = weights(tmp_path, text) if text else tmp_path / "weights.txt"
    code, _, err = restorekit("run", file, tmp_path / "a.png", "--weights", path)
    assert code != 0
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    with pytest.raises(ModelError, match=f"^{message}$"):
        restore(brighten, tmp_path / "a.png", weights=path)


def test_a_folder_as_network_is_refused(tmp_path: Path, restorekit, file: Path) -> None:
    save(tmp_path / "a.png", 8, 8, 3)
    code, _, err = restorekit("run", file, tmp_path / "a.png", "--weights", tmp_path)
    assert code != 0
    assert err.endswith(f"{tmp_path}: is a folder, allowed: a file\n")


def test_the_command_has_no_model_and_names_the_file(tmp_path: Path, restorekit, file: Path) -> None:
    code, text, _ = restorekit("run", file, "--help")
    assert code == 0
    assert "--model" not in text
    assert "FILE" in text
    assert restorekit("run", file, tmp_path, "--weights", "w", "--model", "ddpm-photo")[0] == 2
    save(tmp_path / "a.png", 8, 8, 3)
    path = weights(tmp_path)
    code, text, _ = restorekit("run", file, tmp_path / "a.png", "--weights", path, "--dry-run")
    assert text.startswith(f"brighten: no options; weights {path}; cpu")


def test_python_functions_have_no_prior(tmp_path: Path, brighten: Recipe) -> None:
    function = python_function(brighten)
    assert list(inspect.signature(function).parameters)[:2] == ["image", "weights"]
    assert "prior:" not in str(function.__doc__)
    y = torch.linspace(-1, 1, 3 * 5 * 7).reshape(1, 3, 5, 7)
    assert function(y, weights=weights(tmp_path, "0.5 3")).shape == (1, 3, 15, 21)
    with pytest.raises(OptionError, match="brighten: has no prior"):
        function(y, GaussianPrior(), weights=weights(tmp_path))


class Doubling(nn.Module):
    """Twice as high and wide, the mean of 9 x 9 pixels; grey."""

    def __init__(self) -> None:
        super().__init__()
        self.info = NetworkInfo(1, 2)
        self.factor = nn.Parameter(torch.tensor(1.0))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        padded = torch.nn.functional.pad(x, (4, 4, 4, 4), mode="reflect")
        mean = self.factor * torch.nn.functional.avg_pool2d(padded, 9, 1)
        return torch.nn.functional.interpolate(mean, scale_factor=2, mode="nearest")


def test_objects_are_networks_too(brighten: Recipe) -> None:
    check_recipe(brighten, weights=Doubling())
    runner = Runner(brighten, None, {"weights": Doubling()}, ENGINE)
    assert runner.result_shape((1, 3, 5, 7)) == (1, 3, 10, 14)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("height", [200, 257, 321])
def test_strips_of_enlarged_photos_give_the_same_image(brighten: Recipe, dtype: type, height: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (height, 40, 1)).astype(dtype)
    image, network = Photo(values * (257 if dtype is np.uint16 else 1)), Doubling()
    runner = Runner(brighten, None, {"weights": network}, ENGINE)
    whole, _ = restore_photo(runner, image, 0, {})
    assert whole.pixels.shape == (2 * height, 80, 1)
    network.seen.clear()
    strips, _ = restore_photo(runner, image, 0, {}, max_pixels=height * 40 - 1)
    assert len(network.seen) > 2
    assert max(shape[2] for shape in network.seen[1:]) <= 64 + 2 * 32 + 63, "the memory is bounded"
    assert np.abs(strips.pixels.astype(int) - whole.pixels).max() <= 1


def test_large_results_are_made_in_strips(brighten: Recipe) -> None:
    class Large(Doubling):
        def __init__(self) -> None:
            super().__init__()
            self.info = NetworkInfo(1, 4)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).repeat_interleave(2, 2).repeat_interleave(2, 3)

    image, network = Photo(np.full((300, 40, 1), 77, np.uint8)), Large()
    runner = Runner(brighten, None, {"weights": network}, ENGINE)
    for max_pixels, parts in ((300 * 40 * 4, 1), (300 * 40 * 4 - 1, 3)):
        network.seen.clear()
        result, _ = restore_photo(runner, image, 0, {}, max_pixels=max_pixels)
        assert result.pixels.shape == (1200, 160, 1)
        assert (result.pixels == 77).all()
        assert (len(network.seen) == 1) == (parts == 1)


def test_every_device_has_its_own_network(tmp_path: Path, brighten: Recipe) -> None:
    engine = replace(ENGINE, other_devices=(torch.device("cpu"),))
    for value in (Doubling(), weights(tmp_path)):
        runner = Runner(brighten, None, {"weights": value}, engine)
        first, second = (r._values["weights"].denoiser for r in runner.on_each_device())
        assert first.inner.network is not second.inner.network
    for number in range(3):
        save(tmp_path / "in" / f"{number}.png", 8, 9, 3, seed=number)
    plan = plan_jobs([tmp_path / "in"], tmp_path / "out", brighten, {})
    assert len(run_jobs(plan, Runner(brighten, None, {"weights": weights(tmp_path)}, engine)).restored) == 3


def test_networks_use_the_precision_and_the_tile_of_the_engine(brighten: Recipe) -> None:
    dtypes = []

    class Noting(Doubling):
        def forward(self, x: Tensor) -> Tensor:
            dtypes.append((x @ x.transpose(2, 3)).dtype)
            return super().forward(x)

    network = Noting()
    runner = Runner(brighten, None, {"weights": network}, make_engine("cpu", "bfloat16", tile=32))
    assert runner.restore(torch.zeros(1, 1, 40, 33), [0]).dtype == torch.float32
    assert set(dtypes) == {torch.bfloat16}
    assert max(max(shape[2:]) for shape in network.seen) <= 32


def test_evaluation_of_pairs_refuses_networks_that_enlarge(tmp_path: Path, restorekit, brighten: Recipe) -> None:
    from restorekit.evaluation.pairs import evaluate

    for name in ("a-noisy.png", "a-true.png"):
        save(tmp_path / "pairs" / name, 32, 32, 3)
    with pytest.raises(OptionError, match="size"):
        evaluate(tmp_path / "pairs", brighten, ENGINE, suffixes=("-noisy", "-true"), options={"weights": Doubling()})
