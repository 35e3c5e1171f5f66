"""Connect Four and tic-tac-toe as environments: `pongan/ConnectFour-v0` and `pongan/TicTacToe-v0`, against an opponent in them.

A side is a bitboard. Row r of column c, counted from the lower left, is bit c (rows + 1) + r, and the bit above each column stays
empty, so that no line runs around the edge. The rules take Python's integers and arrays of uint64 alike: one game or many.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from core import uct
from core.errors import UsageError

__all__ = ["CONNECT_FOUR", "TIC_TAC_TOE", "Position", "Rules", "Versus", "register"]


@dataclass(frozen=True)
class Rules:
    """Two players put stones on a board in turn; `length` of one side in a line win, a full board is a draw."""

    rows: int
    columns: int
    length: int
    drops: bool
    """Whether an action is a column, in which the stone falls, rather than a cell."""

    @property
    def num_actions(self) -> int:
        return self.columns if self.drops else self.rows * self.columns

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Of each action the bits that its stone may take."""
        cells = [1 << c * (self.rows + 1) + r for c in range(self.columns) for r in range(self.rows)]
        if not self.drops:
            return tuple(cells)
        return tuple(sum(cells[c * self.rows : (c + 1) * self.rows]) for c in range(self.columns))

    @cached_property
    def board(self) -> int:
        """All bits that stones may take."""
        return sum(self.places)

    @cached_property
    def lowest(self) -> tuple[int, ...]:
        """Of each action the lowest of its bits."""
        return tuple(bits & -bits for bits in self.places)

    @cached_property
    def mirrored(self) -> np.ndarray:
        """The actions [A] that the actions 0, 1, ... become when left and right are exchanged."""
        return np.arange(self.num_actions).reshape(self.columns, -1)[::-1].ravel()

    @cached_property
    def shifts(self) -> np.ndarray:
        """The bits' numbers as they lie on the board, [rows, columns] uint64; the first row is the highest."""
        rows, columns = np.arange(self.rows)[::-1, None], np.arange(self.columns)
        return (columns * (self.rows + 1) + rows).astype(np.uint64)

    @cached_property
    def highest(self) -> tuple[int, ...]:
        """Of each action the highest of its bits, which is the last to be taken."""
        return tuple(1 << bits.bit_length() - 1 for bits in self.places)

    @cached_property
    def folds(self) -> tuple[tuple[int, ...], ...]:
        """For each direction of a line the shifts after which a bit is left where `length` bits were in a line."""
        widths = [1]
        while widths[-1] < self.length:
            widths.append(min(2 * widths[-1], self.length))
        steps = [b - a for a, b in itertools.pairwise(widths)]
        return tuple(
            tuple(step * direction for step in steps) for direction in (1, self.rows, self.rows + 1, self.rows + 2)
        )

    def actions(self, occupied: int) -> list[int]:
        """Return the actions for which there is a place."""
        return [a for a, bit in enumerate(self.highest) if not occupied & bit]

    def stone(self, occupied: int, action: int) -> int:
        """Return the bit that an action adds; 0 where there is no place for it."""
        return ((occupied & self.places[action]) + self.lowest[action]) & self.places[action]

    def stones(self, occupied: np.ndarray) -> np.ndarray:
        """Return the bits that all actions add [N, A], for boards [N]; 0 where there is no place."""
        places, lowest = np.array(self.places, np.uint64), np.array(self.lowest, np.uint64)
        return ((occupied[:, None] & places) + lowest) & places

    def won(self, side: Any) -> Any:
        """Return whether a side has a line; bool for a bitboard, [N] for an array of them."""
        lines: Any = 0
        for shifts in self.folds:
            line = side
            for shift in shifts:
                line = line & (line >> shift)
            lines = lines | line
        return lines != 0

    def full(self, occupied: Any) -> Any:
        """Return whether no place is left."""
        return occupied == self.board

    def cells(self, side: np.ndarray) -> np.ndarray:
        """Return where the stones of sides [N] lie: [N, rows, columns] float32, 0 or 1."""
        return ((side[:, None, None] >> self.shifts) & np.uint64(1)).astype(np.float32)

    def sides(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bitboards [N] of 1 and of -1 in what an environment shows, [N, rows, columns]."""
        bits = np.uint64(1) << self.shifts
        mine, theirs = (np.where(seen == sign, bits, np.uint64(0)).sum(axis=(1, 2)) for sign in (1, -1))
        return mine, theirs


CONNECT_FOUR = Rules(rows=6, columns=7, length=4, drops=True)
TIC_TAC_TOE = Rules(rows=3, columns=3, length=3, drops=False)


class Position:
    """A game in progress, as `core.uct` plays it: `mine` are the stones of whose turn it is."""

    __slots__ = ("mine", "over", "player", "rules", "theirs")
    seen = None  # an action leads to one position

    def __init__(self, rules: Rules, mine: int = 0, theirs: int = 0, player: int = 1):
        self.rules, self.mine, self.theirs, self.player = rules, mine, theirs, player
        self.over = False

    def copy(self) -> Position:
        """Return the same position, to be played on without a change of this one."""
        return Position(self.rules, self.mine, self.theirs, self.player)

    def actions(self) -> list[int]:
        return self.rules.actions(self.mine | self.theirs)

    def play(self, action: int) -> float:
        """Put a stone and return 1.0 when player 1 has won, -1.0 when the other has, else 0.0."""
        mover, rules = self.player, self.rules
        side = self.mine | rules.stone(self.mine | self.theirs, action)
        self.mine, self.theirs, self.player = self.theirs, side, -mover
        if rules.won(side):
            self.over = True
            return float(mover)
        self.over = rules.full(self.mine | side)
        return 0.0


class Versus(gymnasium.Env):
    """The agent plays one side, an opponent the other; who begins is drawn. 1 for a game won, -1 for one lost, 0 for a draw.

    Observations are [rows, columns] int8, the agent's stones 1 and the opponent's -1; an action is a column, or a cell of
    tic-tac-toe, column by column from below. `info["action_mask"]` tells which are allowed; any other loses the game.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 2}

    def __init__(self, rules: Rules, opponent: str = "random", render_mode: str | None = None):
        kind, _, number = opponent.partition(":")
        if kind not in ("random", "uct") or (kind == "uct" and not number.isdecimal()):
            raise UsageError(f"opponent is {opponent!r}; it must be random, or uct:N with its number of simulations")
        self.rules, self.render_mode = rules, render_mode
        self.simulations = int(number or 0)
        """Of the opponent's search for each of its moves; 0 if it plays at random."""
        self.observation_space = Box(-1, 1, (rules.rows, rules.columns), np.int8)
        self.action_space = Discrete(rules.num_actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._position = Position(self.rules)
        self._agent = 1 if self.np_random.random() < 0.5 else -1
        if self._agent == -1:
            self._answer()
        return self._board(), self._info()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        position = self._position
        if not self.rules.stone(position.mine | position.theirs, int(action)):
            return self._board(), -1.0, True, False, self._info()
        result = position.play(int(action))
        if not position.over:
            result = self._answer()
        return self._board(), self._agent * result, position.over, False, self._info()

    def render(self) -> np.ndarray:
        """Return the board, [32 rows, 32 columns, 3] uint8: the agent's stones yellow, the opponent's red."""
        y, x = np.mgrid[:32, :32] - 15.5
        disc = np.kron(np.ones(self._board().shape), x**2 + y**2 < 13**2)[..., None]
        colour = np.array([[20, 30, 70], [250, 210, 60], [220, 60, 60]])[self._board()]  # -1 is the last
        return np.where(disc, np.kron(colour, np.ones((32, 32, 1))), [50, 90, 180]).astype(np.uint8)

    def _answer(self) -> float:
        position = self._position
        if self.simulations:
            action = uct.best_action(uct.search(position.copy, self.simulations, self.np_random))
        else:
            actions = position.actions()
            action = actions[int(self.np_random.random() * len(actions))]
        return position.play(action)

    def _board(self) -> np.ndarray:
        position = self._position
        mine, theirs = self.rules.cells(np.array([position.mine, position.theirs], np.uint64))
        sign = 1 if position.player == self._agent else -1
        return (sign * (mine - theirs)).astype(np.int8)

    def _info(self) -> dict[str, Any]:
        position = self._position
        mask = np.zeros(self.rules.num_actions, np.int8)
        mask[position.actions()] = 1
        return {"action_mask": mask}


def register() -> None:
    """Make the games known to Gymnasium; calling it again changes nothing."""
    for game, rules in (("ConnectFour", CONNECT_FOUR), ("TicTacToe", TIC_TAC_TOE)):
        for name, opponent in (("", "random"), ("UCT100", "uct:100"), ("UCT1000", "uct:1000")):
            if f"pongan/{game}{name}-v0" not in gymnasium.registry:
                gymnasium.register(
                    f"pongan/{game}{name}-v0", f"{__name__}:Versus", kwargs={"rules": rules, "opponent": opponent}
                )
