"""Adapters that turn networks into denoisers, and denoisers that wrap other denoisers."""
