"""Networks: torch modules that are independent of the diffusion process."""
