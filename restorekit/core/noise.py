"""Random numbers of a run: one generator per image, so that results do not depend on the batch."""

from __future__ import annotations

import hashlib
import numbers
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import OptionError, shortened

# Seeds from here on stand for the negated noise of the seed that is smaller by this number.
NEGATED = 2**63


def image_seed(run_seed: int, name: str) -> int:
    """Return the seed of one image, in [0, 2^63), given the seed of the run and the name of the image."""
    digest = hashlib.sha256(f"{run_seed}\0{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def check_seed(seed: Any, where: str) -> int:
    """Return the seed of a run; OptionError if it is not an integer >= 0."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
        raise OptionError(f"{where} seed: found {seed!r}, allowed: an integer >= 0, or None for a new one")
    return int(seed)


def _is_seed(seed: Any) -> bool:
    return isinstance(seed, numbers.Integral) and not isinstance(seed, bool) and 0 <= int(seed) < 2**64


def new_seed() -> int:
    """Return a seed from the random numbers of the operating system, in [0, 2^32)."""
    return secrets.randbits(32)


class ImageNoise:
    """Standard normal noise with one generator per image, generated on the CPU so that it is the same on every device.

    Arguments:
        seeds: one seed per image of the batch, in [0, 2^64). The noise of seed + 2^63 is that of seed, negated: the
            mean of samples from both varies less (antithetic variates).

    Raises OptionError for anything but a sequence of such integers.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        if not isinstance(seeds, Iterable) or isinstance(seeds, str) or not all(map(_is_seed, seeds := tuple(seeds))):
            allowed = "a list of integers in [0, 2^64), one for each image, such as [0]"
            raise OptionError(f"ImageNoise: found {shortened(repr(seeds))}, allowed: {allowed}")
        self.seeds = tuple(map(int, seeds))
        self._generators = [torch.Generator().manual_seed(seed % NEGATED) for seed in self.seeds]
        self._signs = [-1.0 if seed >= NEGATED else 1.0 for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    def split(self) -> list[ImageNoise]:
        """Return one `ImageNoise` per image, each starting from its seed."""
        return [ImageNoise([seed]) for seed in self.seeds]

    def fork(self, count: int) -> ImageNoise:
        """Return independent noise for `count` versions of the only image, seeded with its next random numbers."""
        (generator,), (sign,) = self._generators, self._signs
        seeds = torch.randint(NEGATED - 1, (count,), generator=generator).tolist()
        return ImageNoise([seed + NEGATED * (sign < 0) for seed in seeds])

    def like(self, x: Tensor) -> Tensor:
        """Return noise of the shape, dtype and device of x (N, C, H, W), where N is the number of seeds."""
        if x.shape[0] != len(self._generators):
            raise ValueError(f"ImageNoise: found {x.shape[0]} images, allowed: {len(self)}, one for each seed")
        samples = [
            sign * torch.randn(x.shape[1:], generator=generator, dtype=torch.float32)
            for generator, sign in zip(self._generators, self._signs, strict=True)
        ]
        return torch.stack(samples).to(x)
