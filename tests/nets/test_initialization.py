from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from restorekit.nets.initialization import new_embedding, normal_


def test_embedding_is_initialized_as_that_of_torch() -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        expected = nn.Embedding(5, 40)
        torch.manual_seed(0)
        found = new_embedding(5, 40)
    assert torch.equal(found.weight, expected.weight)
    assert found.weight.requires_grad


def test_weights_on_the_meta_device_stay_without_values() -> None:
    assert normal_(torch.empty(3, device="meta")).is_meta
    with torch.device("meta"):
        assert new_embedding(5, 40).weight.is_meta


@pytest.mark.parametrize("name", ["camera-photo", "guided-scenes", "ncsn-photo"])
def test_loading_a_prior_with_embeddings_does_not_import_the_compiler_of_torch(name: str) -> None:
    code = f"import sys, restorekit as rk; rk.load_prior({name!r}); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
