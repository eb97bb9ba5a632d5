"""Initial estimates that need no prior."""
