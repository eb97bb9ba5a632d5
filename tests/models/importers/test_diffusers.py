"""Folders of diffusers; tests/data/diffusers_layouts.json describes the networks and their results."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.files import WEIGHTS, load_weights, read_config
from restorekit.models.importers.diffusers import read_diffusers_config
from restorekit.models.importers.imports import import_model
from restorekit.priors.epsilon import EpsilonPrior
from tests.models.importers.layouts import Layout, layouts, seeded_tensor

LAYOUTS = layouts("diffusers_layouts")
DDPM = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "trained_betas": None,
    "prediction_type": "epsilon",
    "clip_sample": True,
}


def write_folder(
    folder: Path, layout: Layout, *, pipeline: bool = False, suffix: str = "safetensors", **scheduler: Any
):
    """Write a model, or a pipeline, as diffusers does; returns the folder."""
    unet = folder / "unet" if pipeline else folder
    schedule = folder / "scheduler" if pipeline else folder
    for path in (unet, schedule):
        path.mkdir(parents=True, exist_ok=True)
    (unet / "config.json").write_text(json.dumps(layout.settings))
    (schedule / "scheduler_config.json").write_text(json.dumps({**DDPM, **scheduler}))
    file = unet / f"diffusion_pytorch_model.{suffix}"
    if suffix == "safetensors":
        save_file(layout.weights, file, metadata={"format": "pt"})
    else:
        torch.save(layout.weights, file)
    return folder


def small(**settings: Any) -> Layout:
    """The first network, with other settings."""
    layout = LAYOUTS["training-script"]
    return Layout({**layout.settings, **settings}, layout.shapes, layout.tensors)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_network_of_a_folder_agrees_with_diffusers(tmp_path: Path, name: str, suffix: str) -> None:
    layout = LAYOUTS[name]
    prior = registry.load_prior(write_folder(tmp_path, layout, suffix=suffix))
    assert isinstance(prior, EpsilonPrior)
    x, t, label = seeded_tensor("x", (2, prior.info.channels, 16, 16)), layout.tensors["t"], layout.tensors.get("label")
    got = prior.net(x, t, label)
    torch.testing.assert_close(got, layout.tensors["out"], atol=1e-4, rtol=1e-4)
    # The denoiser at the sigma of a trained step evaluates the network at exactly this step.
    sigma = prior.table[t].float()
    scaled = (1 + sigma**2).sqrt().reshape(-1, 1, 1, 1)
    eps = layout.tensors["out"][:, : prior.info.channels]
    want = x * scaled - sigma.reshape(-1, 1, 1, 1) * eps
    torch.testing.assert_close(prior(x * scaled, sigma, label), want, atol=1e-3, rtol=1e-4)


def test_import_writes_the_same_prior_with_a_card(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source", LAYOUTS["adm"], pipeline=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ndatasets: [cifar10]\n---\n# model\n")
    names = tmp_path / "classes.txt"
    names.write_text("cat\ndog\nbird\n")
    import_model(folder, tmp_path / "m", classes=names)
    card = (tmp_path / "m" / "README.md").read_text()
    for text in ("license: apache-2.0", "Window: 16 x 16", "linear schedule, 1000 steps", "cat, dog, bird", "cifar10"):
        assert text in card
    direct, imported = registry.load_prior(folder), registry.load_prior(tmp_path / "m")
    assert imported.info.classes == ("cat", "dog", "bird")
    assert direct.info.classes == ("0", "1", "2")
    x, sigma, label = seeded_tensor("x", (2, 3, 16, 16)), torch.tensor([0.3, 5.0]), torch.tensor([0, 2])
    assert torch.equal(direct(x, sigma, label), imported(x, sigma, label))


def test_precision_of_the_file_is_kept(tmp_path: Path) -> None:
    layout = LAYOUTS["ho"]
    folder = write_folder(tmp_path / "source", layout)
    half = {name: value.half() for name, value in layout.weights.items()}
    save_file(half, folder / "diffusion_pytorch_model.safetensors")
    found = import_model(folder, tmp_path / "m")
    assert {value.dtype for value in found.weights.values()} == {torch.float16}
    count = sum(value.numel() for value in half.values())
    assert (tmp_path / "m" / WEIGHTS).stat().st_size == pytest.approx(2 * count, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "kind", "betas"),
    [
        ({}, "linear", (1e-4, 0.02)),
        (
            {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
            "scaled-linear",
            (0.00085, 0.012),
        ),
        ({"beta_schedule": "squaredcos_cap_v2"}, "cosine", None),
        ({"beta_schedule": "sigmoid"}, "sigmoid", None),
        ({"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.4]}, "betas", (0.1, 0.4)),
    ],
)
def test_betas_of_the_scheduler_are_read(tmp_path: Path, changes: dict, kind: str, betas: tuple | None) -> None:
    folder = write_folder(tmp_path, small(), **changes)
    schedule = read_config(folder / "diffusion_pytorch_model.safetensors").schedule
    assert schedule.kind == kind
    table = schedule.table()
    assert len(table) == changes.get("num_train_timesteps", 1000)
    if betas is not None:
        abar = 1 / (1 + table**2)
        found = 1 - abar / torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
        torch.testing.assert_close(found[[0, -1]], torch.tensor(betas, dtype=torch.float64))


def test_prediction_type_is_that_of_the_scheduler(tmp_path: Path) -> None:
    for number, (theirs, ours) in enumerate([("epsilon", "eps"), ("sample", "x0"), ("v_prediction", "v")]):
        folder = write_folder(tmp_path / str(number), small(), prediction_type=theirs)
        assert load_weights(folder / "diffusion_pytorch_model.safetensors").prediction == ours


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"_class_name": "UNet2DConditionModel"},
            r"config\.json: _class_name is UNet2DConditionModel, allowed: UNet2DM",
        ),
        ({"time_embedding_type": "fourier"}, "time_embedding_type is fourier, allowed: positional"),
        ({"act_fn": "gelu"}, "act_fn is gelu, allowed: silu, swish"),
        ({"norm_num_groups": 8}, "norm_num_groups is 8, allowed: 32"),
        ({"new_setting": 1}, "unknown setting new_setting"),
        ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "attention at different levels|SkipDownBlock2D"),
        ({"up_block_types": ["UpBlock2D", "UpBlock2D"]}, "attention at different levels"),
        ({"down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"]}, "some levels resample by conv"),
        ({"resnet_time_scale_shift": "scale_shift"}, "attn_norm_num_groups is null, allowed with scale_shift: 32"),
        ({"block_out_channels": [48, 64]}, "48"),
        ({"block_out_channels": None}, "block_out_channels is None"),
        ({"time_embedding_dim": 64}, "time_embedding_dim is 64, allowed: 128"),
        ({"center_input_sample": True}, "center_input_sample is True, allowed: False"),
    ],
)
def test_networks_that_are_not_ours_are_refused(tmp_path: Path, settings: dict, message: str) -> None:
    folder = write_folder(tmp_path, small(**settings))
    with pytest.raises(ModelError, match=message):
        registry.load_prior(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta_schedule": "laplace"}, "beta_schedule is laplace, allowed: linear"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is true"),
        ({"prediction_type": "flow"}, "prediction_type is flow, allowed: epsilon"),
        ({"trained_betas": [0.1, 0.2]}, "schedule.betas is 2 values"),
    ],
)
def test_schedulers_without_our_process_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    folder = write_folder(tmp_path, small(), **changes)
    with pytest.raises(ModelError, match=message):
        registry.load_prior(folder)


def test_missing_scheduler_is_reported(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, small())
    (folder / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "ScoreSdeVeScheduler", "sigma_max": 1348.0})
    )
    with pytest.raises(ModelError, match="ScoreSdeVeScheduler has no betas; allowed: schedulers such as DDPMScheduler"):
        registry.load_prior(folder)
    (folder / "scheduler_config.json").unlink()
    with pytest.raises(ModelError, match=r"found no scheduler_config\.json"):
        registry.load_prior(folder)


def test_tensors_that_do_not_fit_are_listed_by_their_own_names(tmp_path: Path) -> None:
    layout = LAYOUTS["training-script"]
    shapes = {**layout.shapes, "conv_in.weight": (32, 4, 3, 3), "extra.weight": (3,)}
    del shapes["conv_out.bias"]
    folder = write_folder(tmp_path, Layout(layout.settings, shapes, {}))
    problem = (
        r"1 missing: conv_out\.bias; 1 unknown: extra\.weight; "
        r"1 of another shape: conv_in\.weight \[32, 4, 3, 3\] instead of \[32, 3, 3, 3\]"
    )
    with pytest.raises(ModelError, match=problem) as caught:
        registry.load_prior(folder)
    assert "diffusion_pytorch_model.safetensors" in str(caught.value)


def test_networks_agree_with_diffusers_itself(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    for name, layout in LAYOUTS.items():
        theirs = diffusers.UNet2DModel.from_config(layout.settings).eval()
        theirs.load_state_dict(layout.weights)
        theirs.save_pretrained(tmp_path / name / "unet")
        scheduler = diffusers.DDPMScheduler(
            prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2", clip_sample=False
        )
        scheduler.save_pretrained(tmp_path / name / "scheduler")
        prior = registry.load_prior(tmp_path / name)
        x, t, label = seeded_tensor("x", (1, prior.info.channels, 16, 16)), 500, layout.tensors.get("label")
        label = None if label is None else label[:1]
        with torch.no_grad():
            out = theirs(x, t, class_labels=label).sample[:, : prior.info.channels]
            want = scheduler.step(out, t, x).pred_original_sample
        sigma = prior.table[t].float()
        torch.testing.assert_close(prior(x * (1 + sigma**2).sqrt(), sigma, label), want, atol=1e-4, rtol=1e-4)


BAD_VALUES = (None, -1, 0, 1.5, 2**70, True, "x", [], {}, [None], ["x", "y"], [[1], [2]], [0, 64], [64, -1])


@pytest.mark.parametrize("file", ["config.json", "scheduler_config.json"])
def test_settings_of_a_wrong_kind_are_errors_of_the_model(tmp_path: Path, file: str) -> None:
    folder = write_folder(tmp_path, small())
    right = json.loads((folder / file).read_text())
    for name in right:
        for value in BAD_VALUES:
            (folder / file).write_text(json.dumps({**right, name: value}))
            with contextlib.suppress(ModelError):
                config = read_diffusers_config(folder / "diffusion_pytorch_model.safetensors")
                assert config.family == "epsilon"
    for text in ("", "[]", "null", '{"a": '):
        (folder / file).write_text(text)
        with pytest.raises(ModelError, match=file):
            read_diffusers_config(folder / "diffusion_pytorch_model.safetensors")
