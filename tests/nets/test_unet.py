import json

import pytest
import torch
from pydantic import ValidationError

from restorekit.models.keymaps import from_diffusers, from_ho_port
from restorekit.nets.unet import AttentionBlock, UNet, UNetConfig
from tests import golden

GUIDED = {
    "gd_unet_uncond_additive": {"multipliers": (1, 2), "attention": (2,), "embedding": "additive"},
    "gd_unet_cond_adagn": {
        "multipliers": (1, 1),
        "attention": (1, 2),
        "out_channels": 6,
        "classes": 4,
        "head_channels": 16,
        "resample": "block",
    },
    "gd_superres_unet": {
        "multipliers": (1, 1),
        "attention": (2,),
        "out_channels": 6,
        "head_channels": 32,
        "low_res": True,
    },
}
HO = UNetConfig(
    channels=32,
    multipliers=(1, 2),
    blocks=1,
    attention=(2,),
    heads=1,
    embedding="additive",
    frequencies="sin-cos",
    down_padding="right-bottom",
    norm_eps=1e-6,
)


@pytest.mark.parametrize("name", GUIDED)
def test_unet_agrees_with_guided_diffusion(name: str) -> None:
    want = golden.load(name)
    net = UNet(UNetConfig(channels=32, blocks=1, **GUIDED[name])).eval()
    net.load_state_dict(want.weights)
    with torch.no_grad():
        inputs = want.tensors
        got = net(
            inputs["input.x"], inputs["input.timesteps"], inputs.get("input.y"), low_res=inputs.get("input.low_res")
        )
    want.agrees("output.out", got)


def test_unet_agrees_with_the_port_of_ho_et_al() -> None:
    want = golden.load("ddpm_pesser_unet")
    net = UNet(HO).eval()
    net.load_state_dict(from_ho_port(want.weights, HO))
    with torch.no_grad():
        want.agrees("output.eps", net(want["input.x"], want["input.t"]))


@pytest.mark.parametrize("style", ["new", "old"])
def test_unet_agrees_with_diffusers(style: str) -> None:
    want = golden.load("diffusers_unet2d")
    weights = want.weights
    if style == "old":
        other = {new: old for old, new in want.facts["key_map"]["other_style_to_this_style"].items()}
        weights = {other.get(key, key): value for key, value in weights.items()}
    net = UNet(HO).eval()
    net.load_state_dict(from_diffusers(weights, HO))
    with torch.no_grad():
        want.agrees("output.sample", net(want["input.x"], want["input.t"]))


def test_attention_orders_differ_only_in_the_layout_of_the_weights() -> None:
    torch.manual_seed(0)
    legacy = AttentionBlock(64, UNetConfig(heads=4))
    new = AttentionBlock(64, UNetConfig(heads=4, attention_order="qkv-first"))
    torch.nn.init.normal_(legacy.proj_out.weight)
    state = legacy.state_dict()
    for part in ("qkv.weight", "qkv.bias"):
        split = state[part].reshape(4, 3, 16, -1).transpose(0, 1)
        state[part] = split.reshape(state[part].shape)
    new.load_state_dict(state)
    x = torch.randn(2, 64, 5, 3)
    torch.testing.assert_close(new(x), legacy(x))
    assert (legacy(x) - x).abs().max() > 0.01


def test_local_network_depends_on_a_bounded_neighbourhood() -> None:
    config = UNetConfig(channels=32, multipliers=(1, 2), blocks=1, norm="none", middle_attention=False)
    assert config.is_local
    assert not UNetConfig(middle_attention=False).is_local
    torch.manual_seed(0)
    net = UNet(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x = torch.randn(1, 3, 96, 96)
    y = x.clone()
    y[..., 80:] += 1
    a, b = net(x, torch.zeros(1)), net(y, torch.zeros(1))
    torch.testing.assert_close(a[..., :40], b[..., :40])
    assert not torch.allclose(a[..., 80:], b[..., 80:])


def test_missing_and_unexpected_inputs_are_refused() -> None:
    net = UNet(UNetConfig(channels=32, multipliers=(1,), blocks=1))
    with pytest.raises(ValueError, match="label"):
        net(torch.zeros(1, 3, 8, 8), torch.zeros(1), torch.zeros(1, dtype=torch.long))
    with pytest.raises(ValueError, match="low_res"):
        UNet(UNetConfig(channels=32, multipliers=(1,), blocks=1, low_res=True))(torch.zeros(1, 3, 8, 8), torch.zeros(1))


def test_network_without_convolutional_resampling_pools_and_repeats() -> None:
    config = UNetConfig(channels=32, multipliers=(1, 2), blocks=1, resample="pool")
    net = UNet(config)
    assert not any(".op." in name or ".conv." in name for name in net.state_dict())
    x = torch.randn(2, 32, 6, 10)
    down, up = net.input_blocks[2][0], net.output_blocks[1][-1]
    torch.testing.assert_close(down(x), x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)))
    assert torch.equal(up(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert net(torch.randn(1, 3, 8, 8), torch.zeros(1)).shape == (1, 3, 8, 8)


def test_levels_may_have_a_fraction_of_the_channels() -> None:
    net = UNet(UNetConfig(channels=64, multipliers=(0.5, 1, 1.5), blocks=1))
    assert net.config.widths == (32, 64, 96)
    assert net.input_blocks[0][0].out_channels == 32
    assert net.time_embed[0].in_features == 64
    assert net(torch.randn(1, 3, 8, 8), torch.zeros(1)).shape == (1, 3, 8, 8)
    with pytest.raises(ValidationError, match=r"net\.multipliers gives 48 channels, allowed: multiples of 32"):
        UNetConfig(channels=96, multipliers=(0.5, 1))
    assert json.loads(UNetConfig(multipliers=(1, 2)).model_dump_json())["multipliers"] == [1, 2]
