"""Deep convolutional GAN."""
