"""Two GANs that translate pictures into each other, learned without pairs."""
