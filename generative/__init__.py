"""Generative models, one folder each: `config.py`, `model.py`, `presets/`, `README.md`."""
