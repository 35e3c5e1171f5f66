"""Autoencoders: vanilla, sparse, denoising, stacked, convolutional."""
