"""How the files of a job reach this machine, and its results leave it."""

from __future__ import annotations

from typing import Protocol

from restorekit.run.plan import Job


class Transfer(Protocol):
    """Copies the files of a job before and after it.

    The paths of the job are local; a transfer of remote files maintains them.
    """

    def fetch(self, job: Job) -> None:
        """Bring the photo, its side images, and existing results with their records; ImageError if that fails."""
        ...

    def publish(self, job: Job) -> None:
        """Store the new results and records of a job, whether it succeeded or not; ImageError if that fails."""
        ...


class LocalFiles:
    """The transfer of jobs whose files are on this machine: nothing is copied."""

    def fetch(self, job: Job) -> None:
        """Do nothing."""

    def publish(self, job: Job) -> None:
        """Do nothing."""
