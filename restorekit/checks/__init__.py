"""Conformance checks of recipes, priors, solvers and operators, and the doctor that runs them on plugins."""
