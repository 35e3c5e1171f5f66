"""The adversarial models and the autoencoder: updates as the papers have them, learning on tiny data, clear sentences."""
