"""Connect Four: `alphazero` after an hour beside UCT with 1,000 roll-outs a move, and the Elo ratings of what it was before.

    python -m experiments.benchmarks.connect_four [--minutes 60] [--seed 1] [--games 200] [--simulations 400]

Trains in this process, by the preset `alphazero-connect4`, and keeps the weights of some moments. Each side begins half of the
games. In games between two networks the first moves are drawn by how often the search tried them, or all would be one game.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from core import uct
from core.seeds import child
from envs.games import CONNECT_FOUR, Position
from experiments.benchmarks.interleaved import built
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["elo", "layout", "main", "match", "roll_outs"]

PRESET = "alphazero-connect4"
PARTS = (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the training, whose weights are kept
ANCHORS = (100, 1_000)
SAMPLED = 6  # first moves that are drawn between networks
PAIRED = 40  # games of two players that are rated

Decide = Callable[[Sequence[Position], int], Iterable[int]]
"""From positions, all after the same number of moves, and that number to actions."""


def match(one: Decide, other: Decide, games: int) -> float:
    """Return the share of points that `one` gets from `other`, a draw counting half; each begins half of the games."""
    points = 0.0
    for first, second, share in ((one, other, games - games // 2), (other, one, games // 2)):
        positions, moves = [Position(CONNECT_FOUR) for _ in range(share)], 0
        while positions:
            actions = (first, second)[moves % 2](positions, moves)
            results = [p.play(int(a)) for p, a in zip(positions, actions, strict=True)]
            for position, result in zip(positions, results, strict=True):
                if position.over:
                    points += (1 + result * (1 if first is one else -1)) / 2
            positions, moves = [p for p in positions if not p.over], moves + 1
    return points / games


def roll_outs(simulations: int, seed: int) -> Decide:
    """Return the player that searches by UCT."""
    rng = np.random.default_rng(child(seed, "uct", simulations))
    return lambda positions, moves: [uct.best_action(uct.search(p.copy, simulations, rng)) for p in positions]


def guided(agent: Any, weights: Sequence[np.ndarray], simulations: int, sampled: int, seed: int) -> Decide:
    """Return the player that searches with a network; its first `sampled` moves are drawn by visits."""
    from agents.alphazero.search import search

    rng = np.random.default_rng(child(seed, "guided"))

    def decide(positions: Sequence[Position], moves: int) -> np.ndarray:
        agent.model.set_weights(weights)
        mine, theirs = np.array([(p.mine, p.theirs) for p in positions], np.uint64).T
        visits, _ = search(CONNECT_FOUR, mine, theirs, agent.evaluate, simulations)
        if moves >= sampled:
            return visits.argmax(axis=1)
        return np.array([rng.choice(len(n), p=n / n.sum()) for n in visits])

    return decide


def elo(points: dict[tuple[int, int], tuple[float, int]], players: int) -> np.ndarray:
    """Return the ratings [players] of maximum likelihood; player 0 has 0. `points[i, j]` are those of i against j, and the games.

    P(i beats j) = 1 / (1 + 10^((r_j - r_i) / 400)), a draw counting as half a win and half a loss (Elo, 1978; Bradley and Terry,
    1952), with a tenth of a game won and one lost against a rating of 0, so that a side that won every game has a rating.
    """
    scale = np.log(10) / 400

    def loss(r: np.ndarray) -> float:
        r = np.concatenate([[0.0], r])
        total = -0.1 * (np.log(expit(scale * r)) + np.log(expit(-scale * r))).sum()
        for (i, j), (won, games) in points.items():
            d = scale * (r[i] - r[j])
            total -= won * np.log(expit(d)) + (games - won) * np.log(expit(-d))
        return float(total)

    return np.concatenate([[0.0], minimize(loss, np.zeros(players - 1), method="BFGS").x])


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--minutes", type=float, default=60.0, help="of training")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--games", type=int, default=200, help="against UCT with 1,000 roll-outs")
    arguments.add_argument("--simulations", type=int, default=400, help="of ours for each move")
    asked = arguments.parse_args()
    report = Report("experiments.benchmarks.connect_four", "connect_four", layout)
    with built([PRESET, "--run.seed", str(asked.seed)]) as agent:
        kept: list[dict[str, Any]] = []
        spent = 0.0
        for part in PARTS:
            while spent < 60 * asked.minutes * part:
                start = time.perf_counter()
                agent.step()
                spent += time.perf_counter() - start
            kept.append({"minutes": spent / 60, "moves": agent.clock, "weights": agent.model.get_weights()})
            print(f"{spent / 60:.1f} minutes: {agent.clock:,} moves, {agent.updates:,} updates", flush=True)
        final = guided(agent, kept[-1]["weights"], asked.simulations, 0, asked.seed)
        found: dict[str, Any] = {"minutes": asked.minutes, "games": asked.games, "simulations": asked.simulations}
        found["points"] = match(final, roll_outs(1_000, asked.seed), asked.games)
        print(
            f"{found['points']:.1%} of the points of {asked.games} games against UCT with 1,000 roll-outs", flush=True
        )
        report.keep({f"seed {asked.seed}": found})  # the ratings take as long again
        players = [guided(agent, k["weights"], asked.simulations, SAMPLED, asked.seed + i) for i, k in enumerate(kept)]
        players += [roll_outs(n, asked.seed + 1) for n in ANCHORS]
        pairs = [(i, j) for i in range(len(players)) for j in range(i) if i - j <= 2 or i >= len(kept)]
        points = {(i, j): (PAIRED * match(players[i], players[j], PAIRED), PAIRED) for i, j in pairs}
    ratings = elo(points, len(players)).tolist()
    found["uct"] = {str(n): r for n, r in zip(ANCHORS, ratings[len(kept) :], strict=True)}
    found["curve"] = [
        {"minutes": k["minutes"], "moves": k["moves"], "elo": r} for k, r in zip(kept, ratings, strict=False)
    ]
    report.keep({f"seed {asked.seed}": found})
    _plot(report)
    report.write()


def _plot(report: Report) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, of in report.measured.items():
        if "curve" not in of:
            continue
        axes.plot(
            [p["minutes"] for p in of["curve"]], [p["elo"] for p in of["curve"]], marker="o", label=f"alphazero, {name}"
        )
        for n, rating in of["uct"].items():
            axes.axhline(rating, linestyle="--", linewidth=1, color="0.6")
            axes.annotate(
                f"UCT, {int(n):,} roll-outs", (0, rating), xytext=(2, 3), textcoords="offset points", color="0.4"
            )
    axes.set(xlabel="minutes of self-play and learning", ylabel="Elo, the untrained network at 0", title="Connect Four")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(report.path(".png"), dpi=120)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table and the protocol."""
    rows = []
    for name, of in measured.items():
        for point in of.get("curve", []):  # none where only the score has been kept
            rows.append([name, f"{point['minutes']:.0f}", f"{point['moves']:,}", f"{point['elo']:.0f}"])
        rows += [[name, "", f"UCT, {int(n):,} roll-outs", f"{r:.0f}"] for n, r in of.get("uct", {}).items()]
    first = next(iter(measured.values()))
    best = "; ".join(f"{name}: {of['points']:.1%}" for name, of in measured.items())
    return [
        f"Points of {first['games']} games against UCT with 1,000 roll-outs a move, half of them begun by each, a draw counting "
        f"half, with {first['simulations']} simulations a move: {best}. Target: 80 %.",
        Table(["seed", "minutes", "moves of self-play", "Elo"], rows),
        f"Ratings by maximum likelihood from {PAIRED} games a pair: each moment against the two before it, and every one against "
        f"both searches with random roll-outs. The first {SAMPLED} moves of a network are drawn by its visits. Elo 0 is the "
        "search with the untrained network, which knows nothing but the rules.",
    ]


if __name__ == "__main__":
    main()
