"""SeqGAN: sequences of symbols by policy gradient, with a discriminator as the reward."""
