"""Measuring priors on fixed degradations, beside classical methods in the same run."""
