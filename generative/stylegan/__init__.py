"""Style-based generator."""
