"""Samplers and solvers: plain functions over a denoiser. sigma is the only noise coordinate."""
