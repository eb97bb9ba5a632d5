"""Base class of configurations that are stored in files: immutable, without unknown keys and without inf or nan."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A configuration read from TOML or from the header of a weights file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
