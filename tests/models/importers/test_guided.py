"""Checkpoints of guided-diffusion, by the settings of its README and by flags."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.config import EpsilonConfig
from restorekit.models.files import WEIGHTS, read_config
from restorekit.models.importers.guided import classifier_config, parse_flags, prior_config
from restorekit.models.importers.imports import imagenet_classes, import_model
from restorekit.models.importers.presets import GUIDED
from restorekit.priors.epsilon import EpsilonPrior
from tests import golden
from tests.models.importers import adm

SIDES = [32, 16, 8]


def widths(channels: int, *multipliers: float) -> list[int]:
    return [int(channels * multiplier) for multiplier in multipliers]


# 295.9, 421.5, 553.8, 552.8 and 559.0 million in the literature; the networks of LSUN are that without classes.
ADM_256 = (256, widths(256, 1, 1, 2, 2, 4, 4), 2, SIDES, 256)
COUNTS = {
    "64x64_diffusion": adm.unet(192, widths(192, 1, 2, 3, 4), 3, SIDES, 64, classes=1000),
    "128x128_diffusion": adm.unet(256, widths(256, 1, 1, 2, 3, 4), 2, SIDES, 128, classes=1000),
    "256x256_diffusion": adm.unet(*ADM_256, classes=1000),
    "256x256_diffusion_uncond": adm.unet(*ADM_256),
    "512x512_diffusion": adm.unet(256, widths(256, 0.5, 1, 1, 2, 2, 4, 4), 2, SIDES, 512, classes=1000),
    "64x64_classifier": adm.classifier(128, widths(128, 1, 2, 3, 4), 4, SIDES, 64),
    "128x128_classifier": adm.classifier(128, widths(128, 1, 1, 2, 3, 4), 2, SIDES, 128),
    "256x256_classifier": adm.classifier(128, widths(128, 1, 1, 2, 2, 4, 4), 2, SIDES, 256),
    "512x512_classifier": adm.classifier(128, widths(128, 0.5, 1, 1, 2, 2, 4, 4), 2, SIDES, 512),
    "64_256_upsampler": adm.unet(192, widths(192, 1, 1, 2, 2, 4, 4), 2, SIDES, 256, inputs=6, classes=1000),
    "128_512_upsampler": adm.unet(192, widths(192, 1, 1, 2, 2, 4, 4), 2, [32, 16], 512, inputs=6, classes=1000),
    "lsun_bedroom": adm.unet(*ADM_256),
    "lsun_cat": adm.unet(*ADM_256),
    "lsun_horse": adm.unet(*ADM_256),
    "lsun_horse_nodropout": adm.unet(*ADM_256),
    "ffhq_10m": adm.unet(128, widths(128, 1, 1, 2, 2, 4, 4), 1, [16], 256),
}
PUBLISHED_MILLIONS = {
    "64x64_diffusion": 296,
    "128x128_diffusion": 422,
    "256x256_diffusion": 554,
    "512x512_diffusion": 559,
    "64x64_classifier": 65,
    "128x128_classifier": 43,
    "256x256_classifier": 54,
    "512x512_classifier": 54,
    "64_256_upsampler": 312,
    "128_512_upsampler": 309,
}


@pytest.mark.parametrize("name", GUIDED)
def test_published_networks_have_the_published_number_of_parameters(name: str) -> None:
    flags, classes = parse_flags(GUIDED[name].flags), imagenet_classes()
    config = classifier_config(flags, classes) if "classifier" in name else prior_config(flags, classes)
    with torch.device("meta"):
        net = config.build_net()
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == COUNTS[name]
    assert round(count / 1e6) == PUBLISHED_MILLIONS.get(name, round(count / 1e6))


def test_known_counts_of_the_networks_for_256_pixels() -> None:
    assert COUNTS["256x256_diffusion_uncond"] == 552_814_086
    assert COUNTS["256x256_diffusion"] == 553_838_086


def test_classes_are_those_of_imagenet() -> None:
    names = imagenet_classes()
    assert (len(names), names[0], names[207], names[999]) == (1000, "tench", "golden retriever", "toilet tissue")


def test_presets_differ_in_schedule_heads_and_size() -> None:
    found = {name: prior_config(parse_flags(preset.flags), imagenet_classes()) for name, preset in GUIDED.items()}
    small, middle, large = (found[f"{size}x{size}_diffusion"] for size in (64, 128, 512))
    assert (small.schedule.kind, small.net.attention_order, small.net.head_channels) == ("cosine", "qkv-first", 64)
    assert (middle.schedule.kind, middle.net.attention_order, middle.net.head_channels) == (
        "linear",
        "heads-first",
        None,
    )
    assert middle.net.heads == 4
    assert (large.net.attention, large.net.widths[0], large.size) == ((16, 32, 64), 128, 512)
    assert found["256x256_diffusion_uncond"].classes is None
    assert found["64_256_upsampler"].net.low_res
    assert found["64_256_upsampler"].low_res_factor == found["128_512_upsampler"].low_res_factor == 4
    assert small.classes is not None
    assert (small.classes[0], small.classes[999]) == ("tench", "toilet tissue")
    assert classifier_config(parse_flags(GUIDED["64x64_classifier"].flags), ("a", "b")).schedule.kind == "cosine"


CONDITIONAL = (
    "--image_size 16 --num_channels 32 --num_res_blocks 1 --channel_mult 1,1 --attention_resolutions 16,8 "
    "--num_head_channels 16 --class_cond True --learn_sigma True --resblock_updown True --use_fp16 True --batch_size 4"
)
ADDITIVE = (
    "--image_size 16 --num_channels 32 --num_res_blocks 1 --channel_mult 1,2 --attention_resolutions 8 "
    "--use_scale_shift_norm=False"
)
UPSAMPLER = (
    "--large_size 16 --small_size 8 --num_channels 32 --num_res_blocks 1 --channel_mult 1,1 --attention_resolutions 8 "
    "--num_head_channels 32 --learn_sigma True"
)


@pytest.mark.parametrize(
    ("name", "flags"),
    [("gd_unet_cond_adagn", CONDITIONAL), ("gd_unet_uncond_additive", ADDITIVE), ("gd_superres_unet", UPSAMPLER)],
)
def test_imported_network_agrees_with_guided_diffusion(tmp_path: Path, name: str, flags: str) -> None:
    want = golden.load(name)
    file, names = tmp_path / "model.pt", tmp_path / "names.txt"
    torch.save(want.weights, file)
    names.write_text("a\nb\nc\nd\n")
    import_model(file, tmp_path / "m", flags=flags, classes=names)
    prior = registry.load_prior(tmp_path / "m")
    assert isinstance(prior, EpsilonPrior)
    x, t, label, low_res = (want.tensors.get(f"input.{key}") for key in ("x", "timesteps", "y", "low_res"))
    assert x is not None
    assert t is not None
    given = {} if low_res is None else {"low_res": low_res}
    want.agrees("output.out", prior.net(x, t, label, **given))
    sigma = prior.table[t.long()].float()
    scaled = (1 + sigma**2).sqrt().reshape(-1, 1, 1, 1)
    expected = x * scaled - sigma.reshape(-1, 1, 1, 1) * want["output.out"][:, :3]
    if low_res is not None:
        side, small = x.shape[-1], low_res.shape[-1]
        message = (
            rf"found no low-resolution image, allowed: given_low_res with {small} x {small} pixels for {side} x {side}"
        )
        with pytest.raises(ModelError, match=message):
            prior(x * scaled, sigma)
        with pytest.raises(
            ModelError, match=rf"found {small - 1} x {small} pixels, allowed: .* {small} x {small} pixels"
        ):
            prior.given_low_res(low_res[..., 1:])(x * scaled, sigma)
        upsampler = prior
        prior = prior.given_low_res(low_res)
        assert upsampler.low_res is None
    torch.testing.assert_close(prior(x * scaled, sigma, label), expected, atol=2e-3, rtol=1e-4)


def test_classifier_is_recognised_by_its_tensors(tmp_path: Path) -> None:
    flags = (
        "--image_size 64 --classifier_width 32 --classifier_depth 1 --classifier_pool spatial_v2 "
        "--classifier_attention_resolutions 8 --diffusion_steps 500 --rescale_timesteps True"
    )
    # Heads have 64 channels, as in the published classifiers; 32 channels times 4 are the deepest level.
    config = classifier_config(parse_flags(flags), ("a", "b", "c"))
    net = config.build_net()
    torch.save({f"module.{name}": value for name, value in net.state_dict().items()}, tmp_path / "c.pt")
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    import_model(tmp_path / "c.pt", tmp_path / "m", flags=flags, classes=tmp_path / "names.txt")
    classifier = registry.load_classifier(tmp_path / "m")
    assert (classifier.size, classifier.classes, classifier.time_scale) == (64, ("a", "b", "c"), 2.0)
    x = torch.randn(2, 3, 64, 64)
    t = torch.tensor([3.0, 400.0])
    assert torch.equal(classifier.net(x, t), net.eval()(x, t))
    card = (tmp_path / "m" / "README.md").read_text()
    assert "spatial_v2 pooling" in card
    assert "pipeline_tag: image-classification" in card


def test_linear_schedule_and_prediction_follow_the_flags() -> None:
    config = prior_config(parse_flags("--image_size 64 --diffusion_steps 500 --predict_xstart True"), ())
    assert (config.schedule.start, config.schedule.end, config.prediction) == (2e-4, 0.04, "x0")
    assert config.schedule.time_scale == 1
    assert prior_config(parse_flags("--conv_resample False"), ()).net.resample == "pool"
    assert prior_config(parse_flags("--conv_resample False --resblock_updown True"), ()).net.resample == "block"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--image_siz 64", "--flags: unknown flag 'image_siz'. Did you mean 'image_size'"),
        ("--image_size", "allowed: --name value"),
        ("--image_size big", "--flags: image_size: .*found 'big'"),
        ("--image_size 48", "image_size is 48, allowed without channel_mult: 512, 256, 128, 64"),
        ("--attention_resolutions 0", "attention_resolutions is '0', allowed: positive integers"),
        ("--num_heads_upsample 2", "num_heads_upsample is 2, allowed: -1 or num_heads"),
        ("--num_channels 48", "--flags: .*multiple"),
    ],
)
def test_flags_that_are_not_those_of_guided_diffusion_are_refused(tmp_path: Path, flags: str, message: str) -> None:
    torch.save({"output_blocks.0.weight": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=message) as caught:
        import_model(tmp_path / "model.pt", tmp_path / "m", flags=flags)
    assert "\n" not in str(caught.value)


def test_preset_is_found_by_the_name_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "256x256_diffusion_uncond.pt"
    torch.save({"out.0.bias": torch.zeros(3), "other": torch.zeros(2), "output_blocks.0.0": torch.zeros(1)}, file)
    message = r"do not fit the network: \d+ missing: .*, \.\.\.; .*; see --preset, --flags and --config"
    with pytest.raises(ModelError, match=message) as caught:
        import_model(file, tmp_path / "m")
    text = str(caught.value)
    assert "out.0.bias [3] instead of [256]" in text
    assert "2 unknown: other, output_blocks.0.0" in text
    assert len(text) < 1000
    assert not (tmp_path / "m").exists()


def test_unknown_architecture_lists_the_presets(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"unknown architecture; allowed: --preset NAME.*64x64_diffusion.*ho_cifar10"):
        import_model(tmp_path / "weights.pt", tmp_path / "m")
    with pytest.raises(ModelError, match=r"--preset: unknown preset '64x64_difusion'. Did you mean '64x64_diffusion'"):
        import_model(tmp_path / "weights.pt", tmp_path / "m", preset="64x64_difusion")
    with pytest.raises(ModelError, match="several of --preset, --flags and --config"):
        import_model(tmp_path / "weights.pt", tmp_path / "m", preset="64x64_diffusion", flags="")


class Attack:
    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)

    folder = ""


def test_pickles_with_code_are_refused_and_not_executed(tmp_path: Path) -> None:
    attack = Attack()
    attack.folder = str(tmp_path / "executed")
    for number, zipped in enumerate((True, False)):
        file = tmp_path / f"{number}.pt"
        torch.save({"x": attack}, file, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ModelError, match=r"\.pt: contains \S*mkdir; allowed: a checkpoint of tensors") as caught:
            import_model(file, tmp_path / "m", preset="64x64_diffusion")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no archive"])
def test_damaged_checkpoints_are_reported(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "64x64_diffusion.pt"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"64x64_diffusion\.pt: "):
        import_model(file, tmp_path / "m")
    with pytest.raises(ModelError, match="no such file"):
        import_model(tmp_path / "none.pt", tmp_path / "m")


def test_existing_models_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_text("mine")
    with pytest.raises(ModelError, match=r"already contains model\.safetensors, allowed: a new folder"):
        import_model(tmp_path / "64x64_diffusion.pt", tmp_path)
    assert (tmp_path / WEIGHTS).read_text() == "mine"


def test_header_of_an_imported_model_is_complete(tmp_path: Path) -> None:
    want = golden.load("gd_unet_uncond_additive")
    torch.save(want.weights, tmp_path / "model.pt")
    found = import_model(tmp_path / "model.pt", tmp_path / "m", flags=ADDITIVE)
    config = read_config(tmp_path / "m" / WEIGHTS)
    assert isinstance(config, EpsilonConfig)
    assert config == found.config
    assert (config.net.embedding, config.size) == ("additive", 16)
