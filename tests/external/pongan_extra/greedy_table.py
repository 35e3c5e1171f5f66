"""The greedy action of every state of a run of tabular-q."""

from dataclasses import dataclass

from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import restored


@dataclass(frozen=True)
class Flags:
    """Print the greedy action of every state."""

    states: int = 0
    """States to print; 0 for all."""


def main(run: StoredRun, flags: Flags):
    agent, _ = restored(run, "newest")
    greedy = agent.q.numpy().argmax(axis=1).tolist()
    print("greedy-table", *greedy[: flags.states or None])
