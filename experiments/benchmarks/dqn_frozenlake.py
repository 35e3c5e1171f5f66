"""The exact worth of the policies that `dqn-frozenlake` learns on slippery FrozenLake: computed, not played.

python -m experiments.benchmarks.dqn_frozenlake [--seeds 5] [--folder runs]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from experiments.benchmarks.learning import trained
from experiments.benchmarks.report import Part, Report, Table, spread

__all__ = ["best_policy", "layout", "main", "success_probability"]


def success_probability(policy: np.ndarray, limit: int = 100) -> float:
    """Return the exact probability that `policy` [16] reaches the goal of slippery FrozenLake within `limit` steps."""
    P, start = _frozenlake()
    reached, here = 0.0, start  # probability of the goal; of every state in which the episode goes on [16]
    for _ in range(limit):
        following = np.zeros(len(here))
        for s in np.flatnonzero(here):
            for p, s_t, r_t, terminated in P[s][policy[s]]:
                reached += here[s] * p * r_t
                following[s_t] += 0 if terminated else here[s] * p
        here = following
    return reached


def best_policy(gamma: float = 0.99) -> np.ndarray:
    """Return the optimal policy [16] for the discounted reward, by value iteration."""
    P, start = _frozenlake()
    V = np.zeros(len(start))
    for _ in range(10_000):
        Q = np.array(
            [[sum(p * (r + gamma * V[s_t] * (not end)) for p, s_t, r, end in P[s][a]) for a in P[s]] for s in P]
        )
        V = Q.max(axis=1)
    return Q.argmax(axis=1)


def _frozenlake() -> tuple[Any, np.ndarray]:
    import gymnasium

    env = gymnasium.make("FrozenLake-v1", is_slippery=True).unwrapped
    return env.P, np.asarray(env.initial_state_distrib, float)


def measured(seed: int, folder: str) -> dict[str, Any]:
    """Train `dqn-frozenlake`, or take a finished run, and compute what the greedy policy of the final weights is worth."""
    from core import checkpoint
    from core.runtime import configure
    from experiments.launcher.experiment import StoredRun
    from experiments.launcher.restore import make_plugin

    run = trained("dqn-frozenlake", seed, folder, [])
    configure()
    stored = StoredRun.of([str(run)])
    agent: Any = make_plugin(stored.spec, stored.config, stored.settings, run / "files", lambda line: None)
    checkpoint.load(checkpoint.numbered(run)[0], {"plugin": agent.state()}, weights_only=True)
    policy = np.asarray(agent.model(np.eye(16, dtype=np.float32))).argmax(axis=1)
    agent.close()
    results = json.loads((run / "results.json").read_text())
    return {
        "seed": seed,
        "exact": success_probability(policy),
        "policy": policy.tolist(),
        "played": results["headline"]["final"],
        "clock": results["clock"]["value"],
    }


def layout(numbers: dict[str, Any]) -> list[Part]:
    """Return the table, a row a seed."""
    rows = [[f"{r['seed']}", f"{r['exact']:.4f}", f"{r['played']:.2f}", f"{r['clock']:,}"] for r in numbers["rows"]]
    note = (
        f"Mean {spread([r['exact'] for r in numbers['rows']], '.4f')} over {len(rows)} seed{'s' * (len(rows) > 1)}, target "
        f"0.735; the policy that value iteration finds (gamma 0.99) has {numbers['optimal']:.4f}. FrozenLake-v1, slippery, 100 "
        "steps; computed from env.P, not played."
    )
    return [Table(["seed", "exact success probability", "100 episodes", "steps"], rows), note]


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to N")
    parser.add_argument("--folder", default="runs", help="root of the run folders")
    arguments = parser.parse_args()
    report = Report(__spec__.name, "dqn_frozenlake", layout, packages=("tensorflow", "keras", "numpy", "gymnasium"))
    rows = [measured(seed, arguments.folder) for seed in range(1, arguments.seeds + 1)]
    report.keep({"rows": rows, "optimal": success_probability(best_policy())})
    report.write()


if __name__ == "__main__":
    main()
