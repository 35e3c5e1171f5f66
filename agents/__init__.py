"""Reinforcement-learning agents, one folder each: `config.py`, `agent.py`, `presets/`, `README.md`."""
