"""Small networks with known results, for `restorekit plugins doctor` and tests."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import restorekit as rk


class MeanFill(nn.Module):
    """An inpainting network: the mean of the known pixels."""

    info = rk.NetworkInfo(3, receives_mask=True, name="MeanFill")

    def forward(self, x: Tensor) -> Tensor:
        """Return images (N, 3, H, W): x (N, 4, H, W), its last channel the mask."""
        image, mask = x[:, :3], x[:, 3:]
        known = (1 - mask).sum((2, 3), keepdim=True).clamp(min=1)
        return image.lerp((image * (1 - mask)).sum((2, 3), keepdim=True) / known, mask)


def blur_weights() -> dict[str, Tensor]:
    """Return weights of DnCNN, layout of KAIR, with which its result is the mean of 3 x 3 pixels.

    The hidden layers pass an image in [0, 1] on; the last one returns what DnCNN subtracts from it.
    """
    identity = torch.zeros(3, 3, 3, 3)
    identity[range(3), range(3), 1, 1] = 1
    mean = torch.zeros_like(identity)
    mean[range(3), range(3)] = 1 / 9
    layers = {f"model.{2 * i}": identity for i in range(7)} | {"model.14": identity - mean}
    weights = {f"{name}.weight": value for name, value in layers.items()}
    return weights | {f"{name}.bias": torch.zeros(3) for name in layers}


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder, which is deleted when Python exits."""
    return tempfile.TemporaryDirectory(prefix="restorekit-spandrel-", ignore_cleanup_errors=True)


def write_blur() -> Path:
    """Write `blur_weights` to a file that is deleted when Python exits."""
    path = Path(_folder().name) / "blur.pth"
    torch.save(blur_weights(), path)
    return path
