import pytest
import torch
from pydantic import ValidationError

from restorekit.nets.classifier import Classifier, ClassifierConfig
from tests import golden

PUBLISHED = ClassifierConfig(
    classes=10, size=16, channels=32, multipliers=(1, 1, 1), blocks=1, attention=(2, 4), heads=1, head_channels=16
)


def test_agrees_with_the_published_classifier() -> None:
    want = golden.load("gd_classifier_attention_pool")
    net = Classifier(PUBLISHED).eval()
    net.load_state_dict(want.weights)
    x = want["input.x"].clone().requires_grad_()
    logits = net(x, want["input.timesteps"])
    chosen = logits.log_softmax(-1)[torch.arange(3), want["input.y"]]
    (slope,) = torch.autograd.grad(chosen.sum(), x)
    want.agrees("output.logits", logits.detach())
    want.agrees("output.log_prob", chosen.detach())
    want.agrees("output.grad_x", slope)


@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial"])
def test_every_pooling_gives_logits_that_depend_on_the_image_and_on_the_noise(pool: str) -> None:
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


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValidationError, match="size is 18, allowed: multiples of 8"):
        ClassifierConfig(classes=4, size=18)
