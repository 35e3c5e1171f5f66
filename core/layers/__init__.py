"""Keras layers that the field needs and Keras lacks, or has otherwise than the papers."""
