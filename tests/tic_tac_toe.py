"""Every line of play of tic-tac-toe against one player."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.games import TIC_TAC_TOE, Position

__all__ = ["lines_of_play"]


def lines_of_play(decide: Any) -> tuple[int, int]:
    """Play `decide` (bitboards [N, 2] -> actions [N]) against every line of play, first and second; return those lost and all."""
    lost = played = 0
    for begins in (True, False):
        ours, theirs = ([Position(TIC_TAC_TOE)], []) if begins else ([], [Position(TIC_TAC_TOE)])
        while ours or theirs:
            if ours:
                actions = decide(np.array([(p.mine, p.theirs) for p in ours], np.uint64))
                for position, action in zip(ours, actions, strict=True):
                    position.play(int(action))
                played += sum(p.over for p in ours)
                theirs, ours = [p for p in ours if not p.over], []
            else:
                for position in theirs:
                    for action in position.actions():
                        after = position.copy()
                        lost += after.play(action) != 0
                        played += after.over
                        if not after.over:
                            ours.append(after)
                theirs = []
    return lost, played
