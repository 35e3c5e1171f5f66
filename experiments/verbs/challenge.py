"""A person plays an agent at its board game, in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.errors import UsageError
from core.seeds import child
from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import restored
from experiments.launcher.strangers import close, reported

__all__ = ["Flags", "drawn", "main"]

QUIT = ("q", "quit", "exit")


@dataclass(frozen=True)
class Flags:
    """Play against an agent that learned a board game: type the number of a column, or of a cell of tic-tac-toe; q ends."""

    begins: Literal["you", "agent"] = "you"
    """Who makes the first move."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""
    seed: int = 0
    """Of what the agent draws."""


def main(run: StoredRun, flags: Flags) -> None:
    from envs import rules_of
    from envs.games import Position

    plugin, which = restored(run, flags.weights, "agent")
    agent: Any = plugin
    try:
        rules = rules_of(agent.environment)
        if rules is None:
            raise UsageError(
                f"{run.word} plays {agent.environment.id}, which is no board game of two; `play` shows how it acts"
            )
        print(f"{run.spec.name}, {which}. You are O, it is X.")
        rng = np.random.default_rng(child(flags.seed, "challenge"))
        memory = agent.memory(1)
        position, yours, result = Position(rules), flags.begins == "you", 0.0
        while not position.over:
            if yours:
                print(drawn(rules, position.mine, position.theirs))
                action = _asked(position)
                if action is None:
                    print("left")
                    return
            else:
                board = rules.cells(np.array([position.mine, position.theirs], np.uint64)).astype(np.int8)
                allowed = np.isin(np.arange(rules.num_actions), position.actions())[None]
                mask = {"mask": allowed} if agent.masks and agent.environment.masks else {}
                with reported(run.spec, run.traces, "play"):
                    actions, memory = agent.act((board[0] - board[1])[None], memory, rng, greedy=True, **mask)
                action = int(actions[0])
                print(f"it plays {action + 1}")
                if action not in position.actions():
                    print("there is no place for that: you win")
                    return
            result = abs(position.play(action))
            yours = not yours
        sides = (position.mine, position.theirs) if yours else (position.theirs, position.mine)
        print(drawn(rules, *sides))
        print("a draw" if not result else "it wins" if yours else "you win")
    finally:
        close(plugin, run.spec, print)


def drawn(rules: Any, yours: int, its: int) -> str:
    """Return the board as text: O for `yours`, X for `its`, and the numbers to type: below the columns, or in the free cells."""
    mine, theirs = rules.cells(np.array([yours, its], np.uint64))
    numbers = np.arange(rules.num_actions).reshape(rules.columns, -1) + 1  # [columns, 1 or rows, from below]
    lines = []
    for r in range(rules.rows):
        free = ["." if rules.drops else str(numbers[c, rules.rows - 1 - r]) for c in range(rules.columns)]
        lines.append(" ".join("O" if mine[r, c] else "X" if theirs[r, c] else free[c] for c in range(rules.columns)))
    if rules.drops:
        lines.append(" ".join(str(c) for c in numbers[:, 0]))
    return "\n".join(lines)


def _asked(position: Any) -> int | None:
    """Return an action that is allowed, asking until there is one; None when the person leaves."""
    allowed = [a + 1 for a in position.actions()]
    while True:
        try:
            typed = input("your move: ").strip().lower()
        except EOFError:
            return None
        if typed in QUIT:
            return None
        if typed.isdecimal() and int(typed) in allowed:
            return int(typed) - 1
        print(f"{typed!r} is no move; {', '.join(map(str, allowed))} are, and q leaves")
