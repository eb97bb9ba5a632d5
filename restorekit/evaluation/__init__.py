"""Evaluation of priors on fixed degradations, compared with classical methods in the same run."""
