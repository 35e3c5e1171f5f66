"""Advantage actor-critic, online and synchronous, with clipped-surrogate epochs as an option."""
