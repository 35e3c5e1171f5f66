"""Bidirectional GAN: an encoder learns beside the generator."""
