"""The vector-quantised variational autoencoder, with a prior over its codes."""
