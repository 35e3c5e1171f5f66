"""The agent around a table: it plays one environment and lets the method learn from every step, or lets a planner sweep.

The update rules stand in `learning` and `planning`, one class a method, as in "Reinforcement Learning: An Introduction" (Sutton
and Barto, 2nd edition, 2018). Nothing here needs TensorFlow but the export.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from gymnasium.spaces import Discrete
from PIL import Image

from agents.rl.episodes import Episodes
from agents.tabular import config as configuration
from agents.tabular.config import TabularConfig
from agents.tabular.dynamics import Dynamics
from agents.tabular.learning import CONTROL, TD0, Learner
from agents.tabular.maps import draw, layout
from agents.tabular.planning import Planner, PolicyIteration, ValueIteration
from core.disk import write_whole
from core.errors import UsageError
from core.plugin import Agent, Context, Exports
from core.schedules import linear
from core.seeds import child
from envs import instance, limited, make

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["Tabular"]


@final
class Tabular(Agent, Exports):
    """S states, A actions; observations are numbers of states."""

    def __init__(self, config: TabularConfig, context: Context):
        self.config, self.context = config, context
        self.environment = limited(config.env, config.max_episode_steps)
        self.env = make(self.environment, 1, child(context.seed, "games"))
        actions = self.env.action_space
        if not self.env.state_shape or not isinstance(actions, Discrete):
            raise UsageError(
                f"tabular needs numbered states and actions (Discrete); those of {config.env.id} are "
                f"{self.env.observation_space} and {actions}"
            )
        self.num_states, self.num_actions = int(self.env.observation_space.n), int(actions.n)
        made = instance(self.environment)
        self.dynamics = Dynamics.of(made, self.env, config.env.id)
        self.layout = layout(made, self.env)
        self.most_steps = int(made.spec.max_episode_steps)
        made.close()
        self.rng = np.random.default_rng(child(context.seed, "learning"))
        self.method = self._method()
        self.acting = "greedy" if isinstance(self.method, Planner) else f"epsilon-greedy ({config.epsilon_end:g})"
        self.A = -1  # the next action; none has been drawn
        self.env.reset()
        self.clock = 0
        self.episodes = Episodes(1)

    def _method(self) -> Learner | Planner:
        config, known = self.config, self.dynamics
        if config.method in configuration.PLANNERS:
            if known is None:
                raise UsageError(
                    f"{config.method} plans with a transition model, and {config.env.id} tells none (an attribute P); choose a "
                    "method that learns, e.g. --agent.method q-learning"
                )
            if config.method == "policy-iteration":
                return PolicyIteration(known, config.gamma, config.theta)
            return ValueIteration(known, config.gamma)
        if config.method == "td0":
            return TD0(self._evaluated(), config, self.rng)
        return CONTROL[config.method](self.num_states, self.num_actions, config, self.rng)

    def _evaluated(self) -> np.ndarray:
        """Return the policy pi(a|s) [S, A] that td0 predicts."""
        if self.config.evaluated == "random":
            return np.full((self.num_states, self.num_actions), 1 / self.num_actions)
        if self.dynamics is None:
            raise UsageError(
                f"evaluated is 'optimal', which takes a transition model, and {self.config.env.id} tells none (an attribute P); "
                "choose --agent.evaluated random"
            )
        best = self.dynamics.optimal(self.config.gamma)
        if best is None:
            raise UsageError(
                f"evaluated is 'optimal', and the best values of {self.config.env.id} grow without end for gamma 1; "
                "choose a gamma below 1, e.g. 0.99"
            )
        return np.eye(self.num_actions)[self.dynamics.backup(best, self.config.gamma).argmax(axis=1)]

    def step(self) -> Mapping[str, Any]:
        """Take `turn` steps and learn from each, or sweep `turn` times."""
        if isinstance(self.method, Planner):
            changes = [self.method.sweep() for _ in range(self.config.turn)]
            self.clock += self.config.turn
            return {"value/change": changes[-1], "value/mean": self.method.values().mean(), **self.method.scalars()}
        method, before = self.method, self.method.values().copy()
        method.epsilon = linear(
            self.clock, self.config.epsilon_steps, self.config.epsilon_start, self.config.epsilon_end
        )
        method.lr = linear(self.clock, self.config.lr_steps, self.config.lr_start, self.config.lr_end)
        if self.A < 0:
            self.A = method.start(int(self.env.obs[0]))
        for _ in range(self.config.turn):
            S, A = int(self.env.obs[0]), self.A
            t = self.env.step(np.array([A]))
            R, S_, done = float(t.reward[0]), int(t.final_obs[0]), bool(t.done[0])
            drawn = method.learn(S, A, R, S_, 0.0 if t.terminated[0] else self.config.gamma, done)
            if done:
                self.A = method.start(int(t.obs[0]))
            else:
                self.A = method.choose(S_) if drawn is None else drawn
            self.clock += 1
            self.episodes.add(t.reward, t.done)
        values = method.values()
        scalars = {"policy/epsilon": method.epsilon, "optim/lr": method.lr}
        scalars |= {"value/change": np.abs(values - before).max(), "value/mean": values[method.visited()].mean()}
        return scalars | self.episodes.scalars()

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] for states [N]."""
        ceiling = np.cumsum(self.method.policy(greedy=greedy)[observations], axis=1)  # [N, A]
        return (rng.random((len(ceiling), 1)) * ceiling[:, -1:] >= ceiling).sum(axis=1), memory

    def measures(self) -> Mapping[str, Any]:
        """Return what P says of the greedy policy and of the values, and the map of both; write the map into the run's folder.

        eval/exact_return: expected sum of rewards of an episode, undiscounted, within its limit. eval/value_error: largest
        distance from the values of the best policy, or of the one that td0 predicts, over the states that may be met.
        """
        found: dict[str, Any] = {}
        if self.dynamics is not None:
            worth = self.dynamics.expected_return(self.method.policy(greedy=True), self.most_steps)
            if worth is not None:
                found["eval/exact_return"] = worth
            if self.truth is not None:
                found["eval/value_error"] = np.abs(self.method.values() - self.truth)[self.met].max()
        best = self.method.policy(greedy=True).argmax(axis=1)
        shown = self.method.visited() & (self.met if self.dynamics is not None else True)
        unit = "sweeps" if isinstance(self.method, Planner) else "steps"
        title = f"{self.config.method} on {self.config.env.id}, {self.clock:,} {unit}"
        picture = draw(self.layout, self.method.values(), best, shown, title)
        file = self.context.folder / "policy.png"
        if not file.exists():
            self.context.say(f"map of values and policy: {file}")
        write_whole(file, lambda stream: Image.fromarray(picture).save(stream, "PNG"))
        return {**found, "samples/policy": picture[None]}

    @functools.cached_property
    def truth(self) -> np.ndarray | None:
        """The values [S] that the method should come to, from P; None where there are none."""
        assert self.dynamics is not None
        if isinstance(self.method, TD0):
            return self.dynamics.evaluate(self.method.pi, self.config.gamma)
        return self.dynamics.optimal(self.config.gamma)

    @functools.cached_property
    def met(self) -> np.ndarray:
        """The states [S] bool that the policy which is followed may meet: of those that explore, any that can be reached."""
        assert self.dynamics is not None
        pi = np.full((self.num_states, self.num_actions), 1 / self.num_actions)
        return self.dynamics.reachable(self.method.pi if isinstance(self.method, TD0) else pi)

    def exportable(self) -> Mapping[str, Any]:
        import tensorflow as tf

        from agents.rl.policies import named, takes_observations

        action = self.method.policy(greedy=True).argmax(axis=1)  # [S]
        value = self.method.values().astype(np.float32)  # [S]

        @takes_observations(self.env)
        def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
            """The best action [N], by the environment's number, and the value [N] of the states; parts of a state that is a
            Tuple are counted row by row, the last fastest."""
            return {"action": named(self.env, tf.gather(action, observation)), "value": tf.gather(value, observation)}

        return {"act": act}

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("method", "rng", "env", "episodes", "clock", "A")}

    def close(self) -> None:
        self.env.close()
