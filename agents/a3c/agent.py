"""A3C as the launcher sees it: let the workers make the next K updates, report, evaluate, save. The algorithm is in worker.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from agents.a3c.config import A3CConfig
from agents.a3c.local import Backend, Processes, Threads
from agents.a3c.worker import LOSSES, Network
from agents.rl.episodes import Episodes
from agents.rl.policies import allowed
from core.errors import require
from core.plugin import Agent, Context, Exports
from core.schedules import linear
from envs import make

__all__ = ["A3C"]


@final
class A3C(Agent, Exports):
    """The agent. The workers stand still whenever `step` is not running, so a checkpoint catches them between two updates."""

    masks = True

    def __init__(self, config: A3CConfig, context: Context):
        self.config, self.context, self.environment = config, context, config.env
        self.env = make(config.env, 1, 0)  # asked for spaces and masks only: workers have environments of their own
        self.env.reset()
        self.env.close()
        self.network = Network(config, self.env.observation_space, self.env.action_space, context.seed)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = config.workers or cores
        self.in_turn = context.deterministic and self.workers > 1
        require(
            not self.in_turn or config.backend != "ray",
            "a deterministic run with several workers takes --agent.backend processes or threads; on Ray no order is kept",
        )
        self._backend: Backend | None = None
        self._states: list[dict[str, Any] | None] = [None] * self.workers  # of workers that have not been started yet
        P = self.network.initial.shape
        self.theta = keras.Variable(self.network.initial, trainable=False, name="theta")  # [P] as of the last turn
        self.g = np.zeros(P, np.float32)
        self.clock = 0
        self.updates = 0
        self.episodes = Episodes(0)  # the workers play them

    @property
    def backend(self) -> Backend:
        """The workers, started when they are first needed: `play` needs none."""
        if self._backend is None:
            config, seed, theta = self.config, self.context.seed, self.theta.numpy()
            context = self.context
            if config.backend == "threads":
                self._backend = Threads(config, seed, self.workers, theta, self.in_turn)
            elif config.backend == "processes":
                self._backend = Processes(
                    config, seed, self.workers, theta, context.precision, context.say, self.in_turn
                )
            else:
                from agents.a3c.on_ray import Ray

                self._backend = Ray(config, seed, self.workers, theta, context.precision, context.say)
            self._backend.load_weights(theta, self.g)
            self._backend.load_states(self._states)
        return self._backend

    def step(self) -> Mapping[str, Any]:
        """Let the workers make the next `turn` updates together."""
        config = self.config
        lr = linear(self.clock, config.anneal, config.lr, 0.0) if config.anneal else config.lr
        reports = self.backend.run(config.turn, lr)
        theta, self.g = self.backend.weights()
        self.theta.assign(theta)
        updates = sum(report.updates for report in reports)
        self.updates += updates
        self.clock += updates * config.n_steps
        for report in reports:
            self.episodes.ended(report.returns, report.lengths)
        losses = np.array([row for report in reports for row in report.losses])  # [updates, LOSSES]
        scalars = dict(zip(LOSSES, losses.T, strict=True))
        scalars["optim/staleness"] = np.array([number for report in reports for number in report.staleness])
        return scalars | self.episodes.scalars()

    # --- the contract ---------------------------------------------------------------------------------------------------

    def memory(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the state of n fresh episodes: h and c [n, H] of an LSTM, h of a GRU, () without a memory."""
        return self.network.memory(n)

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool, mask: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] or [N, A] for observations [N, ...], drawn from the policy or its likeliest; of those that `mask`
        [N, M] allows."""
        network, policy = self.network, self.network.policy
        network.use(self.theta.numpy())
        parameters, _, memory = network.forward(network.observations.encode(observations), memory)
        parameters = allowed(parameters, mask)
        a = policy.greedy(parameters) if greedy else policy.sample(parameters, rng)
        return policy.to_env(a), memory

    def exportable(self) -> Mapping[str, Any]:
        network = self.network

        def parameters(observation: tf.Tensor, *h: tf.Tensor) -> Any:
            x = network.observations.traced(observation)
            policy, _, following = network.networks(tf.convert_to_tensor(self.theta), x, *h)
            return (policy, following) if h else policy

        return {"act": network.policy.export(self.env, parameters, network.rnn.specs if network.rnn else ())}

    def state(self) -> dict[str, Any]:
        names = ("theta", "g", "episodes", "worker_states", "clock", "updates")
        return {name: getattr(self, name) for name in names}

    @property
    def worker_states(self) -> list[dict[str, Any] | None]:
        """What each worker needs to go on, None for one that has not been started yet; set by a restore."""
        return self._states if self._backend is None else self._backend.states()

    @worker_states.setter
    def worker_states(self, saved: list[dict[str, Any] | None]) -> None:
        if (len(saved) > 1 or self.workers > 1) and not (self.in_turn and len(saved) == self.workers):
            self.context.say(
                "a3c goes on from here, but not bit for bit: the order of several workers is the scheduler's"
            )
        self._states = [saved[i] if i < len(saved) else None for i in range(self.workers)]
        self.close()  # workers start anew from their states, when they are needed

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
            self._backend = None
