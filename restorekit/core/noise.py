"""Randomness of a run: one generator per image, so that results do not depend on the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def image_seed(run_seed: int, name: str) -> int:
    """Seed of one image of a run, in [0, 2^63), from the run's seed and the image's name."""
    digest = hashlib.sha256(f"{run_seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class ImageNoise:
    """Standard normal noise with one generator per image; drawn on the CPU, so equal on every device.

    Arguments:
        seeds: one seed per image of the batch.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self._generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    def like(self, x: Tensor) -> Tensor:
        """Noise for x (N, C, H, W), N equal to the number of seeds: the same shape, dtype and device."""
        if x.shape[0] != len(self._generators):
            raise ValueError(f"ImageNoise: {x.shape[0]} images, but {len(self._generators)} generators")
        draws = [torch.randn(x.shape[1:], generator=g, dtype=torch.float32) for g in self._generators]
        return torch.stack(draws).to(x)
