"""What the caller of a run learns while a photo is restored.

The progress bar imports this module, which therefore does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.run.plan import Job


def _ignore(*values: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Observer:
    """Functions that receive the progress of one restoration; by default, they do nothing.

    They are called in the thread that restores the photo, which waits for them. Photos that are restored at the same
    time have separate observers, whose functions are called in different threads.

    An exception that a function raises ends the restoration of the photo, of which nothing is written: the photo is
    reported as failed, and the other photos of the run are still restored. `StopRunError` ends the whole run instead.

    Attributes:
        windows: receives the number of windows that are done and their total, in every evaluation of a prior or
            network.
        estimate: receives (sigma, denoised), once per evaluation of a prior by the recipe: the estimate of the clean
            image. The images are those that the recipe passes to the prior: the whole photo, or a smaller copy or a
            part of it in recipes that work from coarse to fine or around a hole. Of a photo that is restored in strips
            or regions, they are those of a part (`restorekit.run.restoration`). Classifier-free guidance evaluates the
            prior twice. Results of networks that are not priors are not reported.
            sigma: (N,), or a map (N, 1, H, W) that is 0 at clean pixels and may be inf at unknown ones (`PriorInfo`).
            denoised: (N, C, H, W), about [-1, 1], detached, on the device of the run. The recipe continues with this
            tensor: copy what is kept, and do not modify it.
    """

    windows: Callable[[int, int], None] = _ignore
    estimate: Callable[[Tensor, Tensor], None] = _ignore


UNOBSERVED = Observer()

Observe: TypeAlias = "Callable[[Job, int], Observer]"
"""(job, number of the sample, from 0) -> its observer; called in the thread that restores the sample."""


def unobserved(job: Job, number: int) -> Observer:
    """Return the observer that does nothing; the default of `observe`."""
    return UNOBSERVED


class StopRunError(Exception):
    """Raised to end a run, with the reason, which becomes `RunReport.stopped`."""
