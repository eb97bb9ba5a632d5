from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from restorekit.core.ladders import sigmas_from_betas
from restorekit.models.config import EpsilonConfig
from restorekit.models.schedule import ScheduleConfig


@pytest.mark.parametrize("kind", ["scaled-linear", "sigmoid"])
def test_schedules_start_and_end_with_their_betas(kind: str) -> None:
    table = ScheduleConfig.model_validate({"kind": kind, "steps": 100, "start": 0.001, "end": 0.05}).table()
    abar = 1 / (1 + table**2)
    betas = 1 - abar / torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    low, high = (0.001, 0.05) if kind == "scaled-linear" else (0.001 + 0.049 / (1 + 2.718281828**6), 0.0498788)
    assert betas[[0, -1]].tolist() == pytest.approx([low, high], rel=1e-4)
    # The roots are equidistant, or the curve is symmetric.
    roots = betas.sqrt().diff() if kind == "scaled-linear" else betas + betas.flip(0)
    torch.testing.assert_close(roots, roots[:1].expand_as(roots))


def test_betas_may_be_listed() -> None:
    config = ScheduleConfig(kind="betas", steps=3, betas=(0.1, 0.2, 0.4))
    assert torch.equal(config.table(), sigmas_from_betas(torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)))
    assert ScheduleConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "betas"}, "schedule.betas is null, allowed for the kind betas: 1000 values"),
        ({"kind": "betas", "steps": 3, "betas": [0.1, 0.2]}, "is 2 values, allowed for the kind betas: 3 values"),
        ({"steps": 2, "betas": [0.1, 0.2]}, "is 2 values, allowed for the kind linear: null"),
        ({"kind": "betas", "steps": 2, "betas": [0.1, 1.0]}, "less than 1"),
    ],
)
def test_betas_that_do_not_fit_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScheduleConfig.model_validate(values)


def test_nearest_steps_are_part_of_the_configuration() -> None:
    config = EpsilonConfig.model_validate(
        {"nearest_steps": True, "net": {"channels": 32, "multipliers": [1], "blocks": 1}}
    )
    assert config.build().nearest_steps
    assert not EpsilonConfig().nearest_steps
