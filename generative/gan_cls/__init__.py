"""GAN-CLS: pictures from captions."""
