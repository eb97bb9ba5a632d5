"""From networks to denoisers, and denoisers that wrap denoisers."""
