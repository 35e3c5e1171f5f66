"""Asynchronous advantage actor-critic: workers that update shared parameters without waiting for each other."""
