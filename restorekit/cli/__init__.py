"""The command line."""

from restorekit.cli.app import main as main

__all__ = ["main"]
