"""`python -m experiments.run <name> [flags]`: train an experiment."""

from __future__ import annotations

import sys

from experiments.__main__ import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
