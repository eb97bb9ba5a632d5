from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import karras_ladder
from restorekit.core.noise import ImageNoise
from restorekit.nets.unet import UNet, UNetConfig
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.priors.grey import Grey
from restorekit.priors.known_pixels import KnownPixels
from restorekit.priors.tiled import Tiled, only_where
from restorekit.sampling.samplers import sample_ddim
from restorekit.testing import GaussianPrior
from tests.priors.test_epsilon import TABLE


def windowed() -> GaussianPrior:
    return GaussianPrior(mean=0.2, std=0.4, size=16)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 16), (31, 50), (64, 33), (5, 70)])
@pytest.mark.parametrize("batch", [1, 3])
def test_tiled_pixelwise_prior_equals_untiled(size: tuple[int, int], batch: int) -> None:
    prior = windowed()
    x = torch.randn(2, 3, *size)
    sigma = torch.tensor([0.3, 1.5])
    tiled = Tiled(prior, batch=batch)
    assert isinstance(tiled, Denoiser)
    torch.testing.assert_close(tiled(x, sigma), GaussianPrior(0.2, 0.4)(x, sigma), rtol=1e-5, atol=1e-6)
    assert all(h <= 16 and w <= 16 and n <= max(batch, 2) for n, _, h, w in prior.seen)


def test_tiled_sample_equals_untiled() -> None:
    def run(prior) -> Tensor:
        noise = ImageNoise([4])
        start = noise.like(torch.empty(1, 3, 37, 45)) * 5
        return sample_ddim(prior, start, karras_ladder(5, 0.1, 6), noise, eta=1.0)

    torch.testing.assert_close(run(Tiled(windowed())), run(GaussianPrior(0.2, 0.4)), rtol=1e-4, atol=1e-5)


def test_tiled_local_network_equals_untiled() -> None:
    torch.manual_seed(0)
    net = UNet(UNetConfig(channels=32, multipliers=(1, 2), blocks=1, norm="layer", middle_attention=False))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    prior = EpsilonPrior(net, TABLE, multiple=8)
    x, sigma = torch.randn(1, 3, 150, 133), torch.tensor([0.5])
    with torch.no_grad():
        torch.testing.assert_close(Tiled(prior, window=96, overlap=48)(x, sigma), prior(x, sigma), rtol=0, atol=1e-3)


def test_no_seams_between_windows_that_disagree() -> None:
    class Disagreeing(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            self.seen.append(x.shape)
            return torch.full_like(x, float(len(self.seen) % 2))

    out = Tiled(Disagreeing(size=16), batch=1, overlap=8)(torch.zeros(1, 3, 16, 64), torch.ones(1))
    assert out.min() < 0.02
    assert out.max() > 0.98
    assert out.diff(dim=-1).abs().max() < 0.25


def test_windows_without_required_pixels_are_not_evaluated() -> None:
    prior = windowed()
    where = torch.zeros(1, 1, 64, 64)
    where[..., 3, 5] = 1
    x = torch.randn(1, 3, 64, 64)
    tiled = only_where(Tiled(prior, overlap=4), where)
    out = tiled(x, torch.tensor([0.5]))
    assert len(prior.seen) == 1
    torch.testing.assert_close(out[..., :12, :12], GaussianPrior(0.2, 0.4)(x, torch.tensor([0.5]))[..., :12, :12])
    assert torch.equal(out[..., 20:, 20:], x[..., 20:, 20:])
    prior.seen.clear()
    assert torch.equal(
        only_where(Tiled(prior), torch.zeros(1, 1, 16, 16))(x[..., :16, :16], torch.ones(1)), x[..., :16, :16]
    )
    assert not prior.seen
    assert only_where(prior, where) is prior


def test_labels_follow_their_windows() -> None:
    class Labelled(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            assert label is not None
            return torch.zeros_like(x) + label.reshape(-1, 1, 1, 1) + sigma.reshape(-1, 1, 1, 1)

    out = Tiled(Labelled(size=8), batch=3)(torch.zeros(2, 3, 20, 20), torch.tensor([0.25, 0.5]), torch.tensor([1, 4]))
    torch.testing.assert_close(out[0], torch.full((3, 20, 20), 1.25))
    torch.testing.assert_close(out[1], torch.full((3, 20, 20), 4.5))


def test_maps_of_sigma_follow_their_windows() -> None:
    class Partial(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            noise = sigma**2 if sigma.ndim == 4 else sigma.reshape(-1, 1, 1, 1) ** 2
            return (self.std**2 * x + noise * self.mean) / (self.std**2 + noise)

    x = torch.randn(2, 3, 30, 41)
    sigma = torch.tensor([0.5, 2.0]).reshape(-1, 1, 1, 1) * (torch.rand(2, 1, 30, 41) > 0.5)
    prior = Partial(0.2, 0.4, size=16, partial_noise=True, supports_holes=True)
    tiled = Tiled(prior, batch=3)
    assert tiled.info.partial_noise
    torch.testing.assert_close(tiled(x, sigma), prior(x, sigma))
    hole = sigma[:1] > 0
    in_windows, untiled = KnownPixels(only_where(tiled, hole), hole, x[:1]), KnownPixels(prior, hole, x[:1])
    for level in (0.5, 1e9):
        torch.testing.assert_close(in_windows(x[:1], torch.tensor([level])), untiled(x[:1], torch.tensor([level])))


def test_windows_on_a_cpu_are_as_large_as_the_image_requires() -> None:
    prior = GaussianPrior(mean=0.2, std=0.4)
    x, sigma = torch.randn(1, 3, 100, 61), torch.tensor([0.5])
    torch.testing.assert_close(Tiled(prior, window=64, overlap=8, batch=1)(x, sigma), prior(x, sigma))
    assert prior.seen[:-1] == [(1, 3, 56, 64)] * 2
    prior.seen.clear()
    Tiled(prior, overlap=8)(torch.zeros(1, 3, 16, 1030), sigma)
    assert prior.seen == [(1, 3, 16, 352)] * 3


def test_windows_have_one_size_for_all_images_on_other_devices_and_for_priors_of_one_size() -> None:
    any_size = GaussianPrior(mean=0.2, std=0.4)
    Tiled(any_size, window=64, overlap=8, batch=1)(torch.zeros(1, 3, 100, 64, device="meta"), torch.tensor([0.5]))
    assert any_size.seen == [(1, 3, 64, 64)] * 2
    one_size = GaussianPrior(mean=0.2, std=0.4, size=32)
    Tiled(one_size, batch=1)(torch.zeros(1, 3, 40, 32), torch.tensor([0.5]))
    assert one_size.seen == [(1, 3, 32, 32)] * 2


def test_gradients_pass_through_windows() -> None:
    prior = GaussianPrior(mean=0.2, std=0.4, size=16)
    x, sigma = torch.randn(1, 3, 20, 24, requires_grad=True), torch.tensor([0.5])
    (tiled,) = torch.autograd.grad(Tiled(prior)(x, sigma).square().sum(), x)
    (untiled,) = torch.autograd.grad(prior(x, sigma).square().sum(), x)
    torch.testing.assert_close(tiled, untiled)


def test_invalid_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap < window"):
        Tiled(windowed(), overlap=16)
    with pytest.raises(ValueError, match=r"margin 4, overlap 15; allowed: overlap >= 2 margin \+ 8"):
        Tiled(windowed(), overlap=15, margin=4)
    with pytest.raises(ValueError, match="scale 2 with `where`, allowed: scale 1"):
        Tiled(windowed(), scale=2, where=torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize("length", [64, 65, 100, 143, 144, 511])
def test_every_pixel_is_covered_with_the_largest_margin(length: int) -> None:
    for device_size in (None, 64):
        prior = GaussianPrior(0.2, 0.4, size=device_size)
        x, sigma = torch.randn(1, 3, 24, length), torch.tensor([0.5])
        tiled = Tiled(prior, window=64, overlap=32, margin=12, multiple=32)
        torch.testing.assert_close(tiled(x, sigma), GaussianPrior(0.2, 0.4)(x, sigma), rtol=1e-5, atol=1e-6)
        assert tiled.with_inner(prior).margin == 12
        assert tiled.only_where(torch.ones(1, 1, 24, length)).multiple == 32


def test_grey_image_through_a_colour_prior() -> None:
    grey = Grey(GaussianPrior(mean=0.2, std=0.4))
    assert isinstance(grey, Denoiser)
    x, sigma = torch.randn(2, 1, 6, 5), torch.tensor([0.3, 0.7])
    colour = GaussianPrior(0.2, 0.4)(x.expand(-1, 3, -1, -1), sigma * 3**0.5)
    torch.testing.assert_close(grey(x, sigma), colour[:, :1])
    assert grey.info.sigma_max == pytest.approx(80 / 3**0.5)
