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


@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial"])
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


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(ValidationError, match="size is 18, allowed: multiples of 8"):
        ClassifierConfig(classes=4, size=18)
