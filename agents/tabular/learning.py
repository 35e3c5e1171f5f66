"""Learning from what was played (Sutton and Barto, chapters 5 to 8): the update rules, in the notation of the book.

`learn` gets one step: in state S the action A earned R and led to S_, the book's S'. `gamma` is the discount, and 0 where the
episode terminated, so that the book's Q(terminal, .) = 0 needs no entry; `done` says that the episode ended or was cut. The
action that S_ asks for is drawn before an update whose rule contains it and returned; the others leave it to `choose`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect
from itertools import accumulate
from typing import Any, Protocol, final

import numpy as np

from agents.tabular.config import TabularConfig
from agents.tabular.table import Table

__all__ = [
    "CONTROL",
    "TD0",
    "Control",
    "DoubleQLearning",
    "DynaQ",
    "ExpectedSarsa",
    "Learner",
    "Model",
    "MonteCarlo",
    "NStepSarsa",
    "QLearning",
    "Sarsa",
]


class Learner(Protocol):
    """What the agent asks of a method that learns from steps."""

    epsilon: float
    """Probability of a random action, set by the agent."""
    lr: float
    """The step size alpha, likewise."""

    def start(self, S: int) -> int:
        """Return the first action of an episode."""
        ...

    def choose(self, S: int) -> int:
        """Return an action of the policy that is followed."""
        ...

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> int | None:
        """Take in one step; return the next action if the rule has drawn it."""
        ...

    def values(self) -> np.ndarray:
        """Return the value of every state [S]."""
        ...

    def policy(self, *, greedy: bool) -> np.ndarray:
        """Return pi(a|s) [S, A]: the likeliest or best action alone, or what is followed at the end of the schedule."""
        ...

    def visited(self) -> np.ndarray:
        """Return which states [S] have been updated."""
        ...

    def state(self) -> dict[str, Any]: ...

    def load_state(self, tree: dict[str, Any]) -> None: ...


class Control(ABC):
    """A table Q [S, A] and the epsilon-greedy policy over it; of equally good actions it draws one."""

    def __init__(self, num_states: int, num_actions: int, config: TabularConfig, rng: np.random.Generator):
        self.config, self.rng, self.gamma = config, rng, config.gamma
        self.num_actions = num_actions
        self.epsilon, self.lr = config.epsilon_start, config.lr_start
        self.Q = Table("Q", np.full((num_states, num_actions), config.initial_value))
        self.N = np.zeros((num_states, num_actions), np.int64)  # updates of every entry

    @abstractmethod
    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> int | None: ...

    def q(self, S: Any) -> np.ndarray:
        """Return the values [..., A] of the actions in one state or several, by which the policy goes."""
        return self.Q.values[S]

    def alpha(self, S: int, A: int) -> float:
        """Return the step size of this update: 1/n for plain averages (eq. 2.3)."""
        self.N[S, A] += 1
        return 1 / self.N[S, A] if self.config.average else self.lr

    def start(self, S: int) -> int:
        return int(self.rng.random() * self.num_actions) if self.config.exploring_starts else self.choose(S)

    def choose(self, S: int) -> int:
        if self.rng.random() < self.epsilon:
            return int(self.rng.random() * self.num_actions)
        q = self.q(S).tolist()
        most = max(q)
        best = [a for a, value in enumerate(q) if value == most]
        return best[0] if len(best) == 1 else best[int(self.rng.random() * len(best))]

    def expectation(self, S: int) -> float:
        """Return sum_a pi(a|S) Q(S, a) of the epsilon-greedy policy."""
        q = self.q(S)
        return float(self.epsilon * q.mean() + (1 - self.epsilon) * q.max())

    def values(self) -> np.ndarray:
        return self.q(slice(None)).max(axis=1)

    def policy(self, *, greedy: bool) -> np.ndarray:
        q, epsilon = self.q(slice(None)), self.config.epsilon_end
        if greedy:
            return np.eye(self.num_actions)[q.argmax(axis=1)]
        best = q == q.max(axis=1, keepdims=True)
        return epsilon / self.num_actions + (1 - epsilon) * best / best.sum(axis=1, keepdims=True)

    def visited(self) -> np.ndarray:
        return self.N.sum(axis=1) > 0

    def state(self) -> dict[str, Any]:
        return {"Q": self.Q, "N": self.N}

    def load_state(self, tree: dict[str, Any]) -> None:
        self.N = tree["N"]


@final
class MonteCarlo(Control):
    """On-policy Monte Carlo control, first-visit: the box of section 5.4; every-visit by leaving out its "unless" (section 5.1).

    With exploring starts and epsilon 0 it is Monte Carlo ES, the box of section 5.3.
    """

    def __init__(self, num_states: int, num_actions: int, config: TabularConfig, rng: np.random.Generator):
        super().__init__(num_states, num_actions, config, rng)
        self.every_visit = config.method == "mc-every-visit"
        self.episode: list[tuple[int, int, float]] = []

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> None:
        self.episode.append((S, A, R))
        if not done:
            return
        Q = self.Q.values
        first: dict[tuple[int, int], int] = {}
        for t, (S, A, _) in enumerate(self.episode):
            first.setdefault((S, A), t)
        G = self.expectation(S_) if gamma else 0.0  # the book's 0, but where the episode was cut
        for t, (S, A, R) in reversed([*enumerate(self.episode)]):
            G = R + self.gamma * G
            if self.every_visit or first[S, A] == t:
                Q[S, A] += self.alpha(S, A) * (G - Q[S, A])
        self.episode = []

    def state(self) -> dict[str, Any]:
        return {**super().state(), "episode": self.episode}

    def load_state(self, tree: dict[str, Any]) -> None:
        super().load_state(tree)
        self.episode = [(S, A, R) for S, A, R in tree["episode"]]


@final
class TD0:
    """TD(0) prediction of the values of a given policy: the box of section 6.1, eq. 6.2."""

    def __init__(self, pi: np.ndarray, config: TabularConfig, rng: np.random.Generator):
        self.config, self.rng, self.pi = config, rng, pi  # pi(a|s) [S, A]
        self.epsilon, self.lr = 0.0, config.lr_start
        self.ceiling = np.cumsum(pi, axis=1)
        self.V = Table("V", np.full(len(pi), config.initial_value))
        self.N = np.zeros(len(pi), np.int64)

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> None:
        V = self.V.values
        V[S] += self.alpha(S) * (R + gamma * V[S_] - V[S])

    def alpha(self, S: int) -> float:
        """Return the step size of this update: 1/n for plain averages (eq. 2.3)."""
        self.N[S] += 1
        return 1 / self.N[S] if self.config.average else self.lr

    def start(self, S: int) -> int:
        return self.choose(S)

    def choose(self, S: int) -> int:
        ceiling = self.ceiling[S]
        return int((self.rng.random() * ceiling[-1] >= ceiling).sum())

    def values(self) -> np.ndarray:
        return self.V.values

    def policy(self, *, greedy: bool) -> np.ndarray:
        return np.eye(self.pi.shape[1])[self.pi.argmax(axis=1)] if greedy else self.pi

    def visited(self) -> np.ndarray:
        return self.N > 0

    def state(self) -> dict[str, Any]:
        return {"V": self.V, "N": self.N}

    def load_state(self, tree: dict[str, Any]) -> None:
        self.N = tree["N"]


@final
class Sarsa(Control):
    """SARSA, on-policy TD control: the box of section 6.4, eq. 6.7."""

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> int:
        Q, A_ = self.Q.values, self.choose(S_)
        Q[S, A] += self.alpha(S, A) * (R + gamma * Q[S_, A_] - Q[S, A])
        return A_


@final
class ExpectedSarsa(Control):
    """Expected SARSA: section 6.6, eq. 6.9, with the policy that is followed as pi."""

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> None:
        Q = self.Q.values
        Q[S, A] += self.alpha(S, A) * (R + gamma * self.expectation(S_) - Q[S, A])  # E[Q(S', A') | S']


@final
class NStepSarsa(Control):
    """n-step SARSA: the box of section 7.2, eqs. 7.4 and 7.5."""

    def __init__(self, num_states: int, num_actions: int, config: TabularConfig, rng: np.random.Generator):
        super().__init__(num_states, num_actions, config, rng)
        self.waiting: list[tuple[int, int, float]] = []  # steps tau to t, at most n

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> int:
        Q, A_ = self.Q.values, self.choose(S_)
        self.waiting.append((S, A, R))
        while len(self.waiting) >= (1 if done else self.config.n_step):
            G = Q[S_, A_] if gamma else 0.0
            for _, _, R in reversed(self.waiting):
                G = R + self.gamma * G  # after the loop: R_{tau+1} + ... + gamma^n Q(S_{tau+n}, A_{tau+n})
            S, A, _ = self.waiting.pop(0)
            Q[S, A] += self.alpha(S, A) * (G - Q[S, A])
        return A_

    def state(self) -> dict[str, Any]:
        return {**super().state(), "waiting": self.waiting}

    def load_state(self, tree: dict[str, Any]) -> None:
        super().load_state(tree)
        self.waiting = [(S, A, R) for S, A, R in tree["waiting"]]


@final
class QLearning(Control):
    """Q-learning, off-policy TD control: the box of section 6.5, eq. 6.8."""

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> None:
        Q = self.Q.values
        Q[S, A] += self.alpha(S, A) * (R + gamma * Q[S_].max() - Q[S, A])


@final
class DoubleQLearning(Control):
    """Double Q-learning: the box of section 6.7, eq. 6.10. The policy goes by the mean of both tables."""

    def __init__(self, num_states: int, num_actions: int, config: TabularConfig, rng: np.random.Generator):
        super().__init__(num_states, num_actions, config, rng)
        self.Q2 = Table("Q2", np.full((num_states, num_actions), config.initial_value))
        self.N2 = np.zeros((num_states, num_actions), np.int64)

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> None:
        Q1, Q2, N1 = self.Q.values, self.Q2.values, self.N
        if self.rng.random() >= 0.5:
            Q1, Q2, N1 = self.Q2.values, self.Q.values, self.N2
        N1[S, A] += 1
        alpha = 1 / N1[S, A] if self.config.average else self.lr
        Q1[S, A] += alpha * (R + gamma * Q2[S_, Q1[S_].argmax()] - Q1[S, A])

    def q(self, S: Any) -> np.ndarray:
        return (self.Q.values[S] + self.Q2.values[S]) / 2

    def visited(self) -> np.ndarray:
        return (self.N + self.N2).sum(axis=1) > 0

    def state(self) -> dict[str, Any]:
        return {**super().state(), "Q2": self.Q2, "N2": self.N2}

    def load_state(self, tree: dict[str, Any]) -> None:
        super().load_state(tree)
        self.N2 = tree["N2"]


@final
class DynaQ(Control):
    """Tabular Dyna-Q: the box of section 8.2, its model for environments in which chance plays a part."""

    def __init__(self, num_states: int, num_actions: int, config: TabularConfig, rng: np.random.Generator):
        super().__init__(num_states, num_actions, config, rng)
        self.model = Model()

    def learn(self, S: int, A: int, R: float, S_: int, gamma: float, done: bool) -> None:
        self.update(S, A, R, S_, gamma)
        self.model.add(S, A, R, S_, gamma)
        for _ in range(self.config.planning_steps):
            self.update(*self.model.sample(self.rng))

    def update(self, S: int, A: int, R: float, S_: int, gamma: float) -> None:
        """Make one step of Q-learning, from experience or from the model."""
        Q = self.Q.values
        Q[S, A] += self.alpha(S, A) * (R + gamma * Q[S_].max() - Q[S, A])

    def state(self) -> dict[str, Any]:
        return {**super().state(), "model": self.model}


@final
class Model:
    """What was seen to follow each state and action, and how often. Its steps are drawn in those proportions."""

    def __init__(self) -> None:
        self.seen: list[int] = []  # states, in the order of their first visit
        self.taken: dict[int, list[int]] = {}  # actions that were taken in each
        self.counts: dict[
            tuple[int, int], dict[tuple[float, int, float], int]
        ] = {}  # (S, A) -> (R, S', gamma) -> times

    def add(self, S: int, A: int, R: float, S_: int, gamma: float) -> None:
        """Count one step."""
        if S not in self.taken:
            self.seen.append(S)
            self.taken[S] = []
        if (S, A) not in self.counts:
            self.taken[S].append(A)
            self.counts[S, A] = {}
        outcomes = self.counts[S, A]
        outcomes[R, S_, gamma] = outcomes.get((R, S_, gamma), 0) + 1

    def sample(self, rng: np.random.Generator) -> tuple[int, int, float, int, float]:
        """Return (S, A, R, S', gamma): a state seen before, an action taken in it, what followed them in its proportion."""
        S = self.seen[int(rng.random() * len(self.seen))]
        A = self.taken[S][int(rng.random() * len(self.taken[S]))]
        outcomes = self.counts[S, A]
        drawn = int(rng.random() * sum(outcomes.values()))
        outcome = list(outcomes)[bisect(list(accumulate(outcomes.values())), drawn)]
        return S, A, *outcome

    def state(self) -> dict[str, Any]:
        rows = [
            (S, A, *outcome, times)
            for S in self.seen
            for A in self.taken[S]
            for outcome, times in self.counts[S, A].items()
        ]
        return {"rows": np.array(rows, float).reshape(-1, 6)}  # S, A, R, S', gamma, times

    def load_state(self, tree: dict[str, Any]) -> None:
        self.seen, self.taken, self.counts = [], {}, {}
        for S, A, R, S_, gamma, times in tree["rows"].tolist():
            self.add(int(S), int(A), R, int(S_), gamma)
            self.counts[int(S), int(A)][R, int(S_), gamma] = int(times)


CONTROL: dict[str, type[Control]] = {
    "mc-first-visit": MonteCarlo,
    "mc-every-visit": MonteCarlo,
    "sarsa": Sarsa,
    "expected-sarsa": ExpectedSarsa,
    "n-step-sarsa": NStepSarsa,
    "q-learning": QLearning,
    "double-q-learning": DoubleQLearning,
    "dyna-q": DynaQ,
}
"""Methods that learn to act, by their name on the command line."""
