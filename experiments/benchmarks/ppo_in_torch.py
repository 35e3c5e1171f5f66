"""PPO for discrete actions in PyTorch with the published settings of CleanRL's `ppo.py`; needs the extra `peers`.

CleanRL is no package to install, so its algorithm stands here once more: two networks of 64-64 tanh units, orthogonal weights,
advantages standardised in each minibatch, a clipped value loss, a step size that falls to 0. A time limit counts as an end, as
there. What it writes to TensorBoard is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Settings", "train"]


@dataclass(frozen=True)
class Settings:
    """CleanRL's defaults, with which it reports CartPole-v1, Acrobot-v1 and MountainCar-v0."""

    total_steps: int = 500_000
    envs: int = 4
    n_steps: int = 128
    lr: float = 2.5e-4
    epsilon: float = 1e-5
    gamma: float = 0.99
    gae_lambda: float = 0.95
    epochs: int = 4
    minibatches: int = 4
    clip: float = 0.2
    value_weight: float = 0.5
    entropy: float = 0.01
    max_grad_norm: float = 0.5

    def told(self) -> dict[str, Any]:
        return asdict(self)


def train(env_id: str, seed: int, ended: Callable[[list[float], int], bool], settings: Settings = Settings()) -> None:
    """Train until `ended(returns, steps)` is true, which is called whenever episodes end, or for all of the steps.

    `returns` are those of the episodes that ended with this step, `steps` the environment steps so far.
    """
    import gymnasium
    import torch
    from gymnasium.vector import AutoresetMode, SyncVectorEnv
    from torch.distributions import Categorical

    s, T, N = settings, settings.n_steps, settings.envs
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    games = SyncVectorEnv([lambda: gymnasium.make(env_id)] * N, autoreset_mode=AutoresetMode.SAME_STEP)
    D, A = int(np.prod(games.single_observation_space.shape)), int(games.single_action_space.n)
    actor, critic = _network(D, A, 0.01), _network(D, 1, 1.0)
    weights = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(weights, lr=s.lr, eps=s.epsilon)

    x, a = torch.zeros(T, N, D), torch.zeros(T, N, dtype=torch.int64)
    log_pi, v, r, done = (torch.zeros(T, N) for _ in range(4))
    obs, score, steps = games.reset(seed=seed)[0], np.zeros(N), 0
    updates = s.total_steps // (T * N)
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = s.lr * (1 - update / updates)
        with torch.no_grad():
            for t in range(T):
                x[t] = torch.from_numpy(obs)
                policy = Categorical(logits=actor(x[t]))
                a[t] = policy.sample()
                log_pi[t], v[t] = policy.log_prob(a[t]), critic(x[t])[:, 0]
                obs, reward, terminated, truncated, _ = games.step(a[t].numpy())
                over = terminated | truncated
                r[t], done[t] = torch.from_numpy(reward), torch.from_numpy(over)
                score += reward
                steps += N
                if over.any() and ended(score[over].tolist(), steps):
                    games.close()
                    return
                score[over] = 0.0
            following = torch.cat([v[1:], critic(torch.from_numpy(obs).float()).T])
        delta = r + s.gamma * (1 - done) * following - v
        advantage, later = torch.zeros(T, N), torch.zeros(N)
        for t in reversed(range(T)):
            advantage[t] = later = delta[t] + s.gamma * s.gae_lambda * (1 - done[t]) * later
        flat = [value.reshape(T * N, *value.shape[2:]) for value in (x, a, log_pi, v, advantage, advantage + v)]
        for _ in range(s.epochs):
            for rows in np.array_split(rng.permutation(T * N), s.minibatches):
                x_b, a_b, old, v_old, A_b, R = (value[rows] for value in flat)
                policy, V = Categorical(logits=actor(x_b)), critic(x_b)[:, 0]
                A_b = (A_b - A_b.mean()) / (A_b.std() + 1e-8)
                ratio = torch.exp(policy.log_prob(a_b) - old)
                surrogate = torch.minimum(A_b * ratio, A_b * ratio.clamp(1 - s.clip, 1 + s.clip)).mean()
                near = v_old + (V - v_old).clamp(-s.clip, s.clip)
                value_loss = 0.5 * torch.maximum((V - R) ** 2, (near - R) ** 2).mean()
                loss = -surrogate + s.value_weight * value_loss - s.entropy * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, s.max_grad_norm)
                optimizer.step()
    games.close()


def _network(inputs: int, outputs: int, gain: float) -> Any:
    from torch import nn

    first, second, last = nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)
    for layer, scale in ((first, 2**0.5), (second, 2**0.5), (last, gain)):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last)
