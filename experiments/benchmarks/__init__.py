"""Measurements of the real thing beside its peers, in one run; their output is committed under `results/`."""
