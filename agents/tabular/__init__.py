"""Values in tables: dynamic programming, Monte Carlo, temporal differences, Dyna-Q."""
