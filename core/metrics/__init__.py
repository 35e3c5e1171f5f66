"""Measures of generated samples. Each says in one line how it was taken, without which its number means nothing."""
