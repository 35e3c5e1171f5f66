"""The tree search of "A general reinforcement learning algorithm that masters chess, shogi and Go through self-play" (Silver
et al., 2018, Methods), for N positions at once: arrays have a row for each tree, and the network sees N positions a simulation.

    selection    a = argmax_a W(s, a) / N(s, a) + C(s) P(s, a) sqrt(N(s)) / (1 + N(s, a))
                 C(s) = log((1 + N(s) + c_base) / c_base) + c_init
    expansion    (p, v) = f_theta(s'),  P(s', .) = softmax(p) over the actions that are allowed
    backup       N(s, a) += 1,  W(s, a) += v or -v: v is seen from whoever moves, so its sign changes with every step

Positions are pairs of bitboards (`envs.games`): `mine` are the stones of whose turn it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.games import Rules

__all__ = ["Evaluate", "search"]

Evaluate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From bitboards mine [N] and theirs [N], uint64, to logits [N, A] and values [N] for whose turn it is."""
C_INIT, C_BASE = 1.25, 19_652.0


def search(
    rules: Rules,
    mine: np.ndarray,
    theirs: np.ndarray,
    evaluate: Evaluate,
    simulations: int,
    noise: np.ndarray | None = None,
    noise_share: float = 0.25,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each action was tried [N, A] and the mean value of the roots [N], of positions that are not over.

    `noise` [N, A] is mixed into the roots' priors with the weight `noise_share`; rows sum to 1 over the allowed actions.
    """
    N, M, A = len(mine), simulations + 1, rules.num_actions
    trees = np.arange(N)
    sides = np.zeros((2, N, M), np.uint64)  # mine and theirs of every node
    stones = np.zeros((N, M, A), np.uint64)  # the bit that each action adds; 0 where it is not allowed
    child = np.zeros((N, M, A), np.int32)  # node that an action leads to; 0, the root, where none does yet
    over, result = np.zeros((N, M), bool), np.zeros((N, M), np.float32)
    P, W = np.zeros((2, N, M, A), np.float32)
    visits = np.zeros((N, M, A), np.int32)

    def expand(node: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Ask the network about nodes [N], keep the priors where they are `new`, and return the values [N]."""
        own, other = sides[0, trees, node], sides[1, trees, node]
        logits, v = evaluate(own, other)
        added = rules.stones(own | other)
        stones[trees[new], node[new]] = added[new]
        P[trees[new], node[new]] = _softmax(np.where(added != 0, logits, -np.inf))[new]
        return v

    root = np.zeros(N, int)
    sides[0, :, 0], sides[1, :, 0] = mine, theirs
    expand(root, np.ones(N, bool))
    if noise is not None:
        P[:, 0] = (1 - noise_share) * P[:, 0] + noise_share * noise

    for fresh in range(1, M):
        node, done = root.copy(), np.zeros(N, bool)
        parent, last = root.copy(), root.copy()
        path = []
        while not done.all():  # selection
            n, w = visits[trees, node], W[trees, node]
            total = 1 + n.sum(axis=1, keepdims=True)  # N(s): its own visit and those that went on
            C = np.log((1 + total + C_BASE) / C_BASE) + C_INIT
            score = w / np.maximum(n, 1) + C * P[trees, node] * np.sqrt(total) / (1 + n)
            a = np.where(stones[trees, node] != 0, score, -np.inf).argmax(axis=1)
            path.append((node, a, ~done))
            parent, last = np.where(done, parent, node), np.where(done, last, a)
            following = child[trees, node, a]
            node = np.where(done, node, np.where(following == 0, fresh, following))
            done = done | (following == 0) | over[trees, node]
        new = node == fresh
        t, s, a = trees[new], parent[new], last[new]
        child[t, s, a] = fresh
        moved = sides[0, t, s] | stones[t, s, a]
        sides[0, t, fresh], sides[1, t, fresh] = sides[1, t, s], moved
        won = rules.won(moved)
        over[t, fresh], result[t, fresh] = won | rules.full(moved | sides[1, t, s]), -won.astype(np.float32)
        v = np.where(over[trees, node], result[trees, node], expand(node, new & ~over[trees, node]))
        for node, a, live in reversed(path):  # backup
            v = np.where(live, -v, v)
            W[trees[live], node[live], a[live]] += v[live]
            visits[trees[live], node[live], a[live]] += 1
    return visits[:, 0], W[:, 0].sum(axis=1) / max(simulations, 1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis; 0 where a logit is -inf, everywhere where all are."""
    p = np.exp(logits - np.maximum(logits.max(axis=-1, keepdims=True), -1e30))
    return p / np.maximum(p.sum(axis=-1, keepdims=True), 1e-30)
