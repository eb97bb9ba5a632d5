"""Training of priors from plans; requires the extra `train`."""
