"""Checkpoints of Ho et al. in the port of P. Esser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.models import registry
from restorekit.models.importers import imports
from restorekit.models.importers.imports import import_model
from restorekit.models.importers.presets import HO, PRESETS, Preset, preset_of
from restorekit.nets.unet import UNetConfig
from restorekit.priors.epsilon import EpsilonPrior
from tests import golden


def small_preset() -> Preset:
    """The preset of CIFAR-10 with the size of the network of the golden file."""
    preset = PRESETS["ho_cifar10"]
    assert preset.config is not None
    net = UNetConfig.model_validate(
        {**preset.config.net.model_dump(), "channels": 32, "multipliers": (1, 2), "blocks": 1}
    )
    return Preset(preset.origin, config=preset.config.model_copy(update={"net": net}), names=preset.names)


def test_imported_network_agrees_with_the_port(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(imports, "PRESETS", {**PRESETS, "ho_cifar10": small_preset()})
    want = golden.load("ddpm_pesser_unet")
    folder = tmp_path / "ema_diffusion_cifar10_model"
    folder.mkdir()
    torch.save(want.weights, folder / "model-790000.ckpt")
    import_model(folder / "model-790000.ckpt", tmp_path / "m")
    prior = registry.load_prior(tmp_path / "m")
    assert isinstance(prior, EpsilonPrior)
    x, t = want["input.x"], want["input.t"]
    want.agrees("output.eps", prior.net(x, t))
    sigma = prior.table[t.long()].float()
    scaled = (1 + sigma**2).sqrt().reshape(-1, 1, 1, 1)
    expected = x * scaled - sigma.reshape(-1, 1, 1, 1) * want["output.eps"]
    torch.testing.assert_close(prior(x * scaled, sigma), expected, atol=2e-3, rtol=1e-4)
    assert "without a licence" in (tmp_path / "m" / "README.md").read_text()


@pytest.mark.parametrize(
    ("path", "preset"),
    [
        ("ema_diffusion_lsun_church_model/model-4432000.ckpt", "ho_lsun_church"),
        ("diffusion_lsun_cat_model/model-1761000.ckpt", "ho_lsun_cat"),
        ("models/lsun_cat.pt", "lsun_cat"),
        ("models/ho_celebahq.ckpt", "ho_celebahq"),
        ("models/model.ckpt", None),
    ],
)
def test_presets_are_found_by_file_or_folder(path: str, preset: str | None) -> None:
    assert preset_of(Path(path)) == preset


def test_networks_have_the_number_of_parameters_of_the_paper() -> None:
    # Ho et al. 2020, appendix B: 35.7 million for CIFAR-10, 114 million for LSUN and CelebA-HQ.
    for name, preset in HO.items():
        assert preset.config is not None
        with torch.device("meta"):
            net = preset.config.build_net()
        millions = sum(parameter.numel() for parameter in net.parameters()) / 1e6
        assert millions == pytest.approx(35.7 if name == "ho_cifar10" else 113.7, abs=0.05)
