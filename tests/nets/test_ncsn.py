import pytest
import torch

from restorekit.nets.ncsn import NCSN, InstanceNormPlus, NCSNConfig
from tests import golden


def published() -> NCSN:
    net = NCSN(NCSNConfig(features=8)).eval()
    net.load_state_dict(golden.load("ncsn_refinenet_3ch_16px").weights)
    return net


def test_ncsn_agrees_with_the_published_network() -> None:
    want = golden.load("ncsn_refinenet_3ch_16px")
    net = published()
    with torch.no_grad():
        want.agrees("output.score", net(want["input.x"], want["input.y"]))
        channels_last = net.to(memory_format=torch.channels_last)
        x = want["input.x"].contiguous(memory_format=torch.channels_last)
        want.agrees("output.score", channels_last(x, want["input.y"]))


def test_levels_have_separate_norms() -> None:
    net, x = published(), torch.rand(1, 3, 8, 12).expand(2, -1, -1, -1)
    with torch.no_grad():
        a, b = net(x, torch.tensor([2, 7]))
    assert a.shape == (3, 8, 12)
    assert not torch.allclose(a, b, atol=1e-3)


def test_ncsnv2_ignores_the_level() -> None:
    net = NCSN(NCSNConfig(features=8, levels=None))
    assert not any("embed" in name for name in net.state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(net(x, torch.tensor([0, 1])), net(x, torch.tensor([5, 9])))


def test_norm_is_instance_norm_that_keeps_the_channel_means() -> None:
    norm = InstanceNormPlus(4, None)
    torch.nn.init.constant_(norm.gamma, 1.5)
    torch.nn.init.constant_(norm.beta, 0.25)
    x = torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(2)) * 3 + 2
    torch.nn.init.zeros_(norm.alpha)
    want = torch.nn.functional.instance_norm(x) * 1.5 + 0.25
    torch.testing.assert_close(norm(x, torch.zeros(2).long()), want)
    torch.nn.init.ones_(norm.alpha)
    means = norm(x, torch.zeros(2).long()).mean((2, 3))
    torch.testing.assert_close(means.std(1), torch.full((2,), 1.5), rtol=1e-4, atol=0)
    order = x.mean((2, 3)).argsort(1)
    assert torch.equal(means.argsort(1), order)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norm_is_accurate_for_large_means(dtype: torch.dtype) -> None:
    x = (torch.randn(1, 3, 64, 64) + torch.tensor([0.0, 30.0, -50.0]).reshape(1, 3, 1, 1)).to(dtype)
    norm = InstanceNormPlus(3, None)
    torch.nn.init.zeros_(norm.alpha)
    got = norm(x, torch.zeros(1).long()).float()
    assert got.std((2, 3)).sub(norm.gamma).abs().max() < 0.05
