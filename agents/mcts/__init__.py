"""Monte Carlo tree search: UCT with random roll-outs, for games of two players and for any environment that can be replayed."""
