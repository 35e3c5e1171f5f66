"""`policy-gradient` as it plays, without TensorFlow: the arithmetic of its network's mirror, from a checkpoint's arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from agents.policy_gradient.config import PolicyGradientConfig
from agents.policy_gradient.rows import Rows
from agents.rl.choices import allowed, drawn
from core.forward import affine, linear, relu
from core.plugin import Player
from envs import make

__all__ = ["player"]


class Acting(Player):
    """The hidden layer and the logits; actions as `PolicyGradient.act` chooses them."""

    masks = True

    def __init__(
        self, config: PolicyGradientConfig, rows: Rows, layers: Sequence[tuple[np.ndarray, np.ndarray | None]]
    ):
        self.config, self.environment, self.rows, self.clock = config, config.pong_env, rows, 0
        self.layers = layers

    def logits(self, observations: np.ndarray) -> np.ndarray:
        """Return logits [N, A] for observations [N, ...]."""
        x = self.rows.features(observations)  # [N, D]
        for (kernel, bias), activation in zip(self.layers, (relu, linear), strict=True):
            x = activation(affine(x, kernel, bias))
        if self.config.policy == "sigmoid":  # sigmoid(z) is the softmax over (z, 0)
            x = np.concatenate([x, np.zeros_like(x)], axis=1)
        return x

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool, mask: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] for observations [N, ...], drawn from the policy or its likeliest; of those that `mask` [N, M]
        allows."""
        logits = allowed(self.logits(observations), mask)  # [N, A]
        return logits.argmax(axis=1) if greedy else drawn(logits, rng), memory


def player(config: PolicyGradientConfig, weights: Mapping[str, Sequence[np.ndarray]]) -> Player | None:
    """Return what plays by the weights of `model`: kernel and, with `bias`, bias of each layer.

    None where TensorFlow is needed: for a `network`, several choices at once, and weights that do not fit, of which the plugin
    says what is wrong.
    """
    if config.network:
        return None
    env = make(config.pong_env, 1, seed=0)
    try:
        space, actions = env.observation_space, env.action_space
    finally:
        env.close()
    if not isinstance(space, (Box, Discrete)) or not isinstance(actions, Discrete):
        return None
    rows, arrays = Rows(space), list(weights.get("model", ()))
    units = [config.hidden, 1 if config.policy == "sigmoid" else int(actions.n)]
    shapes = [shape for n, m in zip([rows.inputs, config.hidden], units, strict=True) for shape in [(n, m), (m,)]]
    shapes += [(config.hidden, 1), (1,)] * config.baseline
    if not config.bias:
        shapes = shapes[::2]
    if [array.shape for array in arrays] != shapes:
        return None
    layers = list(zip(arrays[::2], arrays[1::2], strict=True)) if config.bias else [(kernel, None) for kernel in arrays]
    return Acting(config, rows, layers[:2])
