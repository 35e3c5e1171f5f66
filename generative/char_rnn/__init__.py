"""Character and word models: a recurrent network that writes."""
