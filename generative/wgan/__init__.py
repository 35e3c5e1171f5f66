"""Wasserstein GANs: weight clipping, gradient penalty, spectral normalisation, spectral-norm regularisation."""
