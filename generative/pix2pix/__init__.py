"""Conditional GAN that translates pictures, learned from pairs."""
