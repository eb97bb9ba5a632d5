"""Base of every configuration that is written to a file: frozen, and an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A value read from TOML or from a weights header."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
