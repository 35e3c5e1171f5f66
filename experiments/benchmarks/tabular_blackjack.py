"""The policies that `tabular-blackjack` learns beside the published one: states that agree, and the exact worth of each.

python -m experiments.benchmarks.tabular_blackjack [--seeds 3] [--folder runs]
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmarks.learning import trained
from experiments.benchmarks.report import Part, Report, Table, spread

__all__ = ["best_policy", "layout", "main", "published", "values", "worth"]

STICK, HIT = 0, 1
CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}  # an endless deck; 1 is the ace, pictures are 10
SUMS = range(12, 22)  # those in which there is anything to decide


def published() -> np.ndarray:
    """Return the action [sum 0 to 21, dealer's card 0 to 10, usable ace] of Figure 5.2 of Sutton and Barto, 2nd edition."""
    policy = np.full((22, 11, 2), HIT)
    for dealer in range(1, 11):
        policy[{2: 13, 3: 13, 4: 12, 5: 12, 6: 12}.get(dealer, 17) :, dealer, 0] = STICK
        policy[18 if 2 <= dealer <= 8 else 19 :, dealer, 1] = STICK
    return policy


@functools.cache
def dealer(total: int, ace: bool) -> dict[int, float]:
    """Return the probability of each final sum of the dealer, 0 for bust, who holds `total` with or without a usable ace."""
    if total >= 17:
        return {total: 1.0}
    found: dict[int, float] = {}
    for card, p in CARDS.items():
        for final, q in (dealer(*after) if (after := drawn(total, ace, card)) else {0: 1.0}).items():
            found[final] = found.get(final, 0.0) + p * q
    return found


def drawn(total: int, ace: bool, card: int) -> tuple[int, bool] | None:
    """Return sum and usable ace after one more card, None for bust."""
    total += card
    if card == 1 and not ace and total + 10 <= 21:
        return total + 10, True
    if total > 21:
        return (total - 10, False) if ace else None
    return total, ace


def stick(total: int, shown: int) -> float:
    """Return the expected reward of sticking with `total`, without a natural, against the dealer's card."""
    start = (11, True) if shown == 1 else (shown, False)
    finals = dealer(*start)
    return sum(p * (float(total > final) - float(total < final)) for final, p in finals.items())


def values(policy: np.ndarray | None) -> np.ndarray:
    """Return q(s, a) [22, 11, 2, 2] of a policy as in `published`, or of the best one for None."""
    q = np.zeros((22, 11, 2, 2))
    order = [(total, False) for total in range(21, 10, -1)] + [(total, True) for total in range(21, 11, -1)]
    order += [(total, False) for total in range(10, 3, -1)]  # what a card leads to comes before it
    for total, ace in order:
        for shown in range(1, 11):
            q[total, shown, int(ace), STICK] = stick(total, shown)
            for card, p in CARDS.items():
                after = drawn(total, ace, card)
                q[total, shown, int(ace), HIT] += p * (-1 if after is None else value(q, policy, after, shown))
    return q


def value(q: np.ndarray, policy: np.ndarray | None, hand: tuple[int, bool], shown: int) -> float:
    """Return the value of a state out of the values of its actions."""
    state = hand[0], shown, int(hand[1])
    return float(q[state].max() if policy is None else q[state][policy[state]])


def best_policy() -> np.ndarray:
    """Return the best action [22, 11, 2] of every state, by dynamic programming over the rules."""
    return values(None).argmax(axis=-1)


def worth(policy: np.ndarray) -> float:
    """Return the exact expected reward of a game under a policy as in `published`; a natural wins unless the dealer has one."""
    q, total = values(policy), 0.0
    for one, p in CARDS.items():
        for two, r in CARDS.items():
            hand = drawn(*((11, True) if one == 1 else (one, False)), two)
            assert hand is not None
            for shown, s in CARDS.items():
                if hand == (21, True):
                    natural = CARDS[10] if shown == 1 else CARDS[1] if shown == 10 else 0.0  # the dealer's
                    stuck = 1 - natural
                    total += p * r * s * (stuck if policy[21, shown, 1] == STICK else q[21, shown, 1, HIT])
                else:
                    total += p * r * s * value(q, policy, hand, shown)
    return total


def decisions() -> Iterator[tuple[int, int, int]]:
    """Yield the 200 states of the figure."""
    for total in SUMS:
        for shown in range(1, 11):
            for ace in (0, 1):
                yield total, shown, ace


def compared(policy: np.ndarray) -> dict[str, Any]:
    """Return how a policy [22, 11, 2] agrees with the published one and what it is worth."""
    known, q = published(), values(None)
    apart = [state for state in decisions() if policy[state] != known[state]]
    return {
        "agree": 200 - len(apart),
        "worth": worth(policy),
        "apart": [
            {
                "state": list(state),
                "action": int(policy[state]),
                "loses": float(q[state].max() - q[state][policy[state]]),
            }
            for state in apart
        ],
    }


def measured(seed: int, folder: str) -> dict[str, Any]:
    """Train `tabular-blackjack`, or take a finished run, and compare the greedy policy of the final table."""
    from core import checkpoint
    from experiments.launcher.experiment import StoredRun
    from experiments.launcher.restore import make_plugin

    run = trained("tabular-blackjack", seed, folder, [])
    stored = StoredRun.of([str(run)])
    agent: Any = make_plugin(stored.spec, stored.config, stored.settings, run / "files", lambda line: None)
    checkpoint.load(checkpoint.numbered(run)[0], {"plugin": agent.state()}, weights_only=True)
    policy = agent.method.policy(greedy=True).argmax(axis=1).reshape(32, 11, 2)[:22]
    agent.close()
    results = json.loads((run / "results.json").read_text())
    return {"seed": seed, "clock": results["clock"]["value"], "minutes": results["wall_clock_seconds"] / 60} | compared(
        policy
    )


def layout(numbers: dict[str, Any]) -> list[Part]:
    """Return the table, a row a seed."""
    rows = [
        [
            f"{r['seed']}",
            f"{r['agree']}",
            f"{max((a['loses'] for a in r['apart']), default=0):.4f}",
            f"{r['worth']:.4f}",
            f"{r['clock']:,}",
            f"{r['minutes']:.1f}",
        ]
        for r in numbers["rows"]
    ]
    columns = [
        "seed",
        "states of 200 as published",
        "worst difference loses",
        "exact worth of a game",
        "steps",
        "minutes",
    ]
    note = (
        f"Worth {spread([r['worth'] for r in numbers['rows']], '.4f')} over {len(rows)} seed{'s' * (len(rows) > 1)}; the "
        f"published policy has {numbers['published']:.4f}, which is the best there is. Computed from the rules, not played."
    )
    return [Table(columns, rows), note]


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    parser.add_argument("--folder", default="runs", help="root of the run folders")
    arguments = parser.parse_args()
    report = Report(__spec__.name, "tabular_blackjack", layout, packages=("numpy", "gymnasium"))
    rows = [measured(seed, arguments.folder) for seed in range(1, arguments.seeds + 1)]
    report.keep({"rows": rows, "published": worth(published())})
    report.write()


if __name__ == "__main__":
    main()
