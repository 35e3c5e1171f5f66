"""Somebody else's package: one agent and one generative model for pongan, found by its entry points."""
