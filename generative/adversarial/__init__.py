"""What every adversarial model has in common: networks, measures, state."""
