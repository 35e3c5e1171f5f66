"""Auxiliary-classifier and projection GAN: pictures of a class."""
