"""Samplers and solvers: functions of a denoiser. sigma is the only noise coordinate."""
