"""Base class of configurations that are stored in files: immutable, without unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A configuration read from TOML or from the header of a weights file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
