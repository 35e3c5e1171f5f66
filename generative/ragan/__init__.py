"""Relativistic GANs and the GAN they are compared with."""
