"""CVAE-GAN: a conditional variational autoencoder whose decoder is the generator of a GAN."""
