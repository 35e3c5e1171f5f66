"""Compositional pattern-producing networks."""
