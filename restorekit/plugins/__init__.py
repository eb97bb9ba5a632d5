"""Plugins: hooks, discovery, errors, single-file recipes and the package template."""
