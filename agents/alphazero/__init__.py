"""AlphaZero: a network for policy and value, trained by games that a tree search plays against itself."""
