"""Core types and functions. This package imports nothing from restorekit except its errors."""
