import pytest
import torch
from pydantic import ValidationError

from restorekit.nets.classifier import Classifier, ClassifierConfig
from tests import golden

PUBLISHED = ClassifierConfig(
    classes=10, size=16, channels=32, multipliers=(1, 1, 1), blocks=1, attention=(2, 4), heads=1, head_channels=16
)


def test_classifier_agrees_with_guided_diffusion() -> None:
    want = golden.load("gd_classifier_attention_pool")
    net = Classifier(PUBLISHED).eval()
    net.load_state_dict(want.weights)
    x = want["input.x"].clone().requires_grad_()
    logits = net(x, want["input.timesteps"])
    log_prob = logits.log_softmax(-1)[torch.arange(3), want["input.y"]]
    (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    want.agrees("output.logits", logits.detach())
    want.agrees("output.log_prob", log_prob.detach())
    want.agrees("output.grad_x", gradient)


@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial", "spatial_v2"])
def test_logits_depend_on_image_and_step_with_every_pooling(pool: str) -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(classes=4, size=16, channels=32, multipliers=(1, 2), blocks=1, pool=pool)
    net = Classifier(config)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([10.0, 900.0])
    got = net(x, t)
    assert got.shape == (2, 4)
    assert not torch.allclose(got, net(x.flip(0), t))
    assert not torch.allclose(got, net(x, t.flip(0)))


@pytest.mark.parametrize("pool", ["spatial", "spatial_v2"])
def test_spatial_pooling_is_that_of_guided_diffusion(pool: str) -> None:
    config = ClassifierConfig(classes=4, size=16, channels=32, multipliers=(1, 2), blocks=1, heads=1, pool=pool)
    net = Classifier(config).eval()
    features, hooks = [], []
    for stage in [*net.input_blocks, net.middle_block]:
        hooks.append(stage.register_forward_hook(lambda _, __, out: features.append(out.mean((2, 3)))))
    got = net(torch.randn(2, 3, 16, 16), torch.tensor([10.0, 900.0]))
    state = {name.removeprefix("out."): value for name, value in net.state_dict().items() if name.startswith("out.")}
    # Convolution, block, downsampling, block and middle: 32 + 32 + 32 + 64 + 64 channels.
    pooled = torch.cat(features, dim=1)
    assert pooled.shape == (2, 224)
    hidden = torch.nn.functional.linear(pooled, state["0.weight"], state["0.bias"])
    if pool == "spatial":
        want = torch.nn.functional.linear(hidden.relu(), state["2.weight"], state["2.bias"])
    else:
        groups = hidden.reshape(2, 32, 64)
        groups = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        hidden = groups.reshape(2, 2048) * state["1.weight"] + state["1.bias"]
        want = torch.nn.functional.linear(hidden * hidden.sigmoid(), state["3.weight"], state["3.bias"])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(ValidationError, match="size is 18, allowed: multiples of 8"):
        ClassifierConfig(classes=4, size=18)
