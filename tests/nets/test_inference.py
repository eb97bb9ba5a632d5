"""Without gradients, networks overwrite their activations and multiply less; the results are those with gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from restorekit.nets.inference import add, is_cpu_inference, silu, transposed_weight
from restorekit.nets.unet import UNet, UNetConfig


def random_net(**config: object) -> UNet:
    torch.manual_seed(0)
    net = UNet(UNetConfig(channels=32, multipliers=(1, 2), blocks=1, **config))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


@pytest.mark.parametrize("norm", ["layer", "group", "none"])
@pytest.mark.parametrize("embedding", ["scale-shift", "additive"])
@pytest.mark.parametrize("resample", ["conv", "block"])
@pytest.mark.parametrize("t", [[3.0, 3.0], [3.0, 7.0]])
def test_results_are_the_same_with_and_without_gradients(
    norm: str, embedding: str, resample: str, t: list[float]
) -> None:
    net = random_net(norm=norm, embedding=embedding, resample=resample, middle_attention=norm == "group")
    x = torch.randn(2, 3, 16, 24)
    before = x.clone()
    with_gradients = net(x, torch.tensor(t)).detach()
    with torch.no_grad():
        without = net(x, torch.tensor(t))
    assert torch.equal(x, before)
    largest = float(with_gradients.abs().max())
    torch.testing.assert_close(without / largest, with_gradients / largest, rtol=0, atol=1e-5)


def test_labels_count_where_all_steps_are_equal() -> None:
    net = random_net(norm="layer", classes=3, middle_attention=False)
    x, t, label = torch.randn(2, 3, 8, 8), torch.tensor([3.0, 3.0]), torch.tensor([0, 2])
    with torch.no_grad():
        together = net(x, t, label)
        apart = torch.cat([net(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_transposed_convolution_equals_upsampling_and_convolution() -> None:
    x, weight = torch.randn(2, 5, 6, 7), torch.randn(4, 5, 3, 3)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    got = F.conv_transpose2d(x, transposed_weight(weight), stride=2, padding=1)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_only_tensors_that_nobody_needs_are_overwritten() -> None:
    h, other = torch.randn(3), torch.randn(3)
    with torch.no_grad():
        assert silu(h, keep=other) is h
        assert silu(h, keep=h) is not h
        assert add(h, other) is h
        assert add(h.bfloat16(), other).dtype == torch.float32
        assert is_cpu_inference(h)
        assert not is_cpu_inference(h.to("meta"))
    assert silu(h, keep=other) is not h
    assert add(h, other) is not h
    assert not is_cpu_inference(h)
