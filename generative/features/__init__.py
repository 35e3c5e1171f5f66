"""Feature extractors for pictures of one's own: by labels, siamese pairs, triplets, or as an autoencoder."""
