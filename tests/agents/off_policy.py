"""What the tests of ddpg, td3 and sac share: transitions out of nothing, and the networks again in PyTorch, float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.rl.off_policy import columns_of as columns
from core.replay import Batch

__all__ = ["Critic", "as_torch", "columns", "layers", "play", "random_batch", "same_layers", "stepped"]


def play(a: Any, clock: int) -> dict[str, Any]:
    scalars: dict[str, Any] = {}
    while a.clock < clock:
        scalars |= a.step()
    return scalars


def random_batch(a: Any, K: int, seed: int = 0) -> Batch:
    """Transitions for K minibatches; every third terminated."""
    rng, N = np.random.default_rng(seed), K * a.config.batch
    D, A = a.experience.num_inputs, a.policy.num_actions
    s_tm1, s_t = rng.normal(size=(2, N, D)).astype(np.float32)
    action = rng.uniform(-1, 1, (N, A)).astype(np.float32)
    discount = np.where(np.arange(N) % 3 == 0, 0, a.config.gamma).astype(np.float32)
    r, weight = rng.normal(scale=2, size=N).astype(np.float32), rng.uniform(0.5, 1, N).astype(np.float32)
    return Batch(s_tm1, action, r, discount, s_t, weight, np.arange(N))


def layers(model: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each layer of a model that has nothing else."""
    values = model.get_weights()
    return list(zip(values[::2], values[1::2], strict=True))


def as_torch(weights: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    """A PyTorch network of these dense layers, ReLU between them."""
    import torch

    parts: list[Any] = []
    for kernel, bias in weights:
        linear = torch.nn.Linear(*kernel.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.tensor(kernel.T).double(), torch.tensor(bias).double()
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def same_layers(model: Any, network: Any, member: int | None = None) -> None:
    """Assert that a model, or one member of a model of several, has the weights of a PyTorch network."""
    linear = [m for m in network if hasattr(m, "weight")]
    for (kernel, bias), m in zip(layers(model), linear, strict=True):
        if member is not None:
            kernel, bias = kernel[member], bias[member, 0]
        np.testing.assert_allclose(kernel, m.weight.detach().numpy().T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(bias, m.bias.detach().numpy(), rtol=1e-4, atol=1e-5)


class Critic:
    """Member i of a model of several critics; iterates over its parameters."""

    def __init__(self, model: Any, i: int):
        self.network = as_torch([(kernel[i], bias[i, 0]) for kernel, bias in layers(model)])

    def __call__(self, s: Any, a: Any) -> Any:
        import torch

        return self.network(torch.cat([s, a], -1))[:, 0]

    def __iter__(self) -> Any:
        return self.network.parameters()

    def follow(self, critic: Any, tau: float) -> None:
        for mine, its in zip(self, critic, strict=True):
            mine.data.mul_(1 - tau).add_(its.data, alpha=tau)


def stepped(optimizer: Any, loss: Any) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
