"""The agent around `core.uct`: it searches before every action, in its own environment and wherever it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
from gymnasium.spaces import Discrete

from agents.mcts.config import MCTSConfig
from agents.mcts.replayed import Replayed
from agents.rl.episodes import Episodes
from agents.rl.policies import refused
from core import uct
from core.plugin import Agent, Context
from core.seeds import child
from envs import VectorEnv, make, rules_of
from envs.games import Position

__all__ = ["MCTS"]


@final
class MCTS(Agent):
    """A position of a game of two is read off the board; any other environment is played again from its seed and actions."""

    acting = "most tried"

    def __init__(self, config: MCTSConfig, context: Context):
        self.config, self.environment = config, config.env
        self.env = make(config.env, 1, child(context.seed, "games"))
        if not isinstance(self.env.action_space, Discrete):
            raise refused("mcts", "discrete actions", config.env.id, self.env.action_space)
        self.rules = rules_of(config.env)
        self.searched = make(config.env, 1, 0)  # played on from where an episode stands
        self.bank = self.searched.banks[0]
        self.watched = self.env
        self.rng = np.random.default_rng(child(context.seed, "search"))
        self.env.reset()
        self.episodes = Episodes(1)
        self.clock = 0

    def step(self) -> Mapping[str, Any]:
        """Search and act, `turn` times."""
        self.watched = self.env
        worth = []
        for _ in range(self.config.turn):
            root = self._search(0, self.env.obs[0], self.rng)
            a = uct.best_action(root)
            worth.append(root.children[a].mean)
            step = self.env.step(np.array([a]))
            self.clock += 1
            self.episodes.add(step.reward, step.done)
        return {"value/root": np.array(worth)} | self.episodes.scalars()

    def _search(self, i: int, observation: np.ndarray, rng: np.random.Generator) -> uct.Node:
        """Return the tree of environment `i` of those that are watched, which shows `observation`."""
        begin: Callable[[], uct.Simulation]
        if self.rules is not None:
            mine, theirs = (int(side[0]) for side in self.rules.sides(observation[None]))
            begin = Position(self.rules, mine, theirs).copy
        else:
            seed, actions = self.watched.episode(i)
            begin = lambda: Replayed(self.bank, seed, actions, int(rng.integers(2**31)), self.config.horizon)  # noqa: E731
        config = self.config
        return uct.search(begin, config.simulations, rng, exploration=config.exploration, gamma=config.gamma)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def watch(self, env: VectorEnv) -> None:
        self.watched = env

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        """Return the actions [N] that a search of each watched environment tried most."""
        return np.array([uct.best_action(self._search(i, o, rng)) for i, o in enumerate(observations)]), memory

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("env", "rng", "episodes", "clock")}

    def close(self) -> None:
        self.env.close()
        self.searched.close()
