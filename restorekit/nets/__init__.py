"""Networks: torch modules that know no diffusion process."""
