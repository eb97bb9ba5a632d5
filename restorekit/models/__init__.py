"""Weights and what is said of them: safetensors files whose header holds the configuration."""
