"""Training of priors from plans; needs the extra `train`."""
