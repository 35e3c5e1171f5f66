"""StarGAN: one generator for translations between many domains."""
