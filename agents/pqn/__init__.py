"""Parallelised Q-network: Q-learning over rollouts, without a replay and without a target network."""
