"""Reinforcement-learning agents, one folder each: `config.py`, `agent.py`, `presets/`, `README.md`; `rl/` is what they share."""
