"""The launcher: `python -m experiments.run <name>` and the verbs of `python -m experiments`."""
