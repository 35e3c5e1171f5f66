"""Soft actor-critic: a stochastic policy that is paid for its entropy, two critics, a learned temperature."""
