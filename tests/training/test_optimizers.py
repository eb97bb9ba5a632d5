from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from restorekit.training import optimizers
from restorekit.training.optimizers import Muon, build_optimizer, matrix_shape, orthogonalize
from restorekit.training.plan import OptimizerPlan


@pytest.mark.parametrize("in_hardware", [True, False])
@pytest.mark.parametrize("shape", [(64, 64), (32, 288), (288, 32), (16, 16), (128, 45)])
def test_newton_schulz_moves_singular_values_close_to_1(
    shape: tuple[int, int], in_hardware: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizers, "has_bfloat16", lambda device: in_hardware)
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    # Singular values of a square random matrix reach down to 0; the iteration lifts those above 0.01 of the norm.
    values, norms = torch.linalg.svdvals(matrices), matrices.norm(dim=(-2, -1)).unsqueeze(-1)
    after = torch.linalg.svdvals(orthogonalize(matrices))
    lifted = after[values / norms > 0.01]
    assert lifted.numel() > 0.9 * values.numel()
    assert lifted.min() > 0.65
    assert after.max() < 1.25


def test_newton_schulz_keeps_the_singular_vectors_and_ignores_the_scale() -> None:
    matrix = torch.randn(24, 100, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    for scale in (1e-12, 1.0, 1e6):
        rotated = u.T @ orthogonalize(scale * matrix[None])[0] @ v.T
        torch.testing.assert_close(rotated, rotated.diag().diag(), atol=0.05, rtol=0)
        assert rotated.diag().min() > 0.65
    assert torch.equal(orthogonalize(torch.zeros(1, 16, 20)), torch.zeros(1, 16, 20))


def test_newton_schulz_computes_in_float32_without_bfloat16_in_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    matrices = torch.randn(1, 32, 64, generator=torch.Generator().manual_seed(2))
    results = {}
    for in_hardware in (True, False):
        monkeypatch.setattr(optimizers, "has_bfloat16", lambda device, found=in_hardware: found)
        results[in_hardware] = orthogonalize(matrices)
    assert torch.equal(results[True], results[True].bfloat16().float())
    assert not torch.equal(results[False], results[False].bfloat16().float())
    torch.testing.assert_close(results[True], results[False], atol=0.03, rtol=0)


def network() -> nn.Module:
    """Parameters of all kinds; the comment says which are matrices of at least 16 x 16."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(5, 32, 3, padding=1),  # 32 x 45: yes
        nn.GroupNorm(8, 32),
        nn.Conv2d(32, 32, 3, padding=1, groups=16),  # 32 x 18: yes
        nn.Conv2d(32, 16, 1),  # 16 x 32: yes
        nn.Conv2d(16, 16, 1),  # 16 x 16: yes
        nn.Conv2d(16, 15, 3, padding=1),  # 15 x 144: no
        nn.Conv2d(15, 24, 1),  # 24 x 15: no
        nn.Conv2d(24, 3, 3, padding=1),  # 3 x 216: no
    )


MATRICES = {"0.weight", "2.weight", "3.weight", "4.weight"}


def test_weights_of_at_least_16_by_16_are_updated_as_matrices() -> None:
    net = network()
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    groups = {group["matrices"]: group["params"] for group in Muon(net.parameters(), lr=1e-3).param_groups}
    assert {names[id(parameter)] for parameter in groups[True]} == MATRICES
    assert {names[id(parameter)] for parameter in groups[False]} == set(names.values()) - MATRICES
    assert matrix_shape(net[0].weight) == (32, 45)
    assert matrix_shape(torch.zeros(48, 16, 1)) == (48, 16)
    assert matrix_shape(torch.zeros(300)) == (0, 0)


def gradients(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def reference_update(momentum: Tensor, grad: Tensor) -> Tensor:
    """Muon's update of a matrix divided by lr * 0.2, written out in float64."""
    x = (grad + 0.95 * momentum).double()
    x = x / x.norm()
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * (x @ x.T) @ x + 2.0315 * (x @ x.T) @ (x @ x.T) @ x
    return math.sqrt(max(x.shape)) * x.float()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_of_matrices_agree_with_a_reference(memory_format: torch.memory_format, weight_decay: float) -> None:
    net = network().to(memory_format=memory_format)
    optimizer = Muon(net.parameters(), lr=1.0, weight_decay=weight_decay)
    expected = {name: net.get_parameter(name).detach().flatten(1).clone() for name in MATRICES}
    momenta = {name: torch.zeros_like(value) for name, value in expected.items()}
    for step, lr in enumerate([0.03, 0.02, 0.01]):
        for group in optimizer.param_groups:
            group["lr"] = lr
        gradients(net, step)
        for name, value in expected.items():
            grad = net.get_parameter(name).grad.flatten(1)
            momenta[name] = 0.95 * momenta[name] + grad
            value *= 1 - lr * weight_decay
            value -= lr * 0.2 * reference_update(momenta[name], grad)
        optimizer.step()
    for name, value in expected.items():
        # The iteration runs in bfloat16: an update (of about 0.2 lr an entry) is exact to some hundredths.
        torch.testing.assert_close(net.get_parameter(name).flatten(1), value, atol=6e-4, rtol=0)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_of_other_parameters_are_those_of_adamw(weight_decay: float) -> None:
    net = network()
    other = copy.deepcopy(net)
    rule = {"lr": 2e-2, "betas": (0.8, 0.95), "weight_decay": weight_decay}
    ours, theirs = Muon(net.parameters(), **rule), torch.optim.AdamW(other.parameters(), **rule)
    for step in range(4):
        for model, optimizer in ((net, ours), (other, theirs)):
            gradients(model, step)
            if step == 2:
                model[1].bias.grad = None
            optimizer.step()
    for (name, mine), value in zip(net.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, value, rtol=1e-5, atol=1e-6) == (name not in MATRICES), name


def test_updates_have_the_size_of_those_of_adamw() -> None:
    for shape in [(16, 16), (64, 576), (200, 20)]:
        weight = nn.Parameter(torch.zeros(shape))
        optimizer = Muon([weight], lr=1e-3)
        weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        optimizer.step()
        assert weight.detach().square().mean().sqrt().item() == pytest.approx(2e-4, rel=0.3)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_restored_optimizer_continues_exactly(name: str) -> None:
    plan = OptimizerPlan(name=name, lr=1e-2, weight_decay=0.1)
    net = network().to(memory_format=torch.channels_last)
    optimizer = build_optimizer(plan, net.parameters())
    for step in range(3):
        gradients(net, step)
        optimizer.step()
    other = network().to(memory_format=torch.channels_last)
    other.load_state_dict(net.state_dict())
    restored = build_optimizer(plan, other.parameters())
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(3, 6):
        for model, rule in ((net, optimizer), (other, restored)):
            gradients(model, step)
            rule.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_optimizer_has_the_settings_of_the_plan() -> None:
    weights = [nn.Parameter(torch.ones(20, 20)), nn.Parameter(torch.ones(20))]
    plan = OptimizerPlan(lr=2e-3, momentum=0.9, betas=(0.8, 0.9), weight_decay=0.3)
    muon = build_optimizer(plan, weights)
    assert isinstance(muon, Muon)
    for group in muon.param_groups:
        settings = {key: group[key] for key in ("lr", "momentum", "betas", "weight_decay")}
        assert settings == {"lr": 2e-3, "momentum": 0.9, "betas": (0.8, 0.9), "weight_decay": 0.3}
    assert type(build_optimizer(OptimizerPlan(name="adamw"), weights)) is torch.optim.AdamW


def test_a_closure_is_evaluated_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(20, 20))
    optimizer = Muon([weight], lr=1e-2)

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 400
    assert weight.square().sum() < 400
