"""Environments with one meaning of `step` at episode ends, and exact snapshots."""
