"""What benchmarks need of PyTorch and Stable-Baselines3 beside their own pieces; both come with the extra `peers`."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from core.errors import require

__all__ = ["need", "pong"]

TITLES = {"torch": "PyTorch", "stable_baselines3": "Stable-Baselines3", "sbx": "SBX"}


def need(*modules: str) -> None:
    """Raise UsageError unless these peers can be imported: before the first measurement, not in the middle of them."""
    for module in modules:
        require(
            importlib.util.find_spec(module) is not None,
            f"this benchmark compares with {TITLES[module]}, which is not installed: pip install 'pongan[peers]'",
        )


def pong(envs: int, kind: str) -> Any:
    """Return `envs` games of Pong, four frames stacked; kind: "dummy", "subproc" or "native", our adapter."""
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecTransposeImage

    if kind == "native":
        return _native_pong(envs)
    env = make_atari_env(
        "ale_py:ALE/Pong-v5",  # with its module, which worker processes import
        envs,
        seed=0,
        vec_env_cls=SubprocVecEnv if kind == "subproc" else DummyVecEnv,
        env_kwargs={"frameskip": 1, "repeat_action_probability": 0.0},
        wrapper_kwargs={"terminal_on_life_loss": False},
    )
    return VecTransposeImage(VecFrameStack(env, 4))


def _native_pong(envs: int) -> Any:
    """Return Pong through ale-py's `AtariVectorEnv`, which our agents use too, as a `VecEnv`."""
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode
    from stable_baselines3.common.vec_env import VecEnv

    class Adapter(VecEnv):
        def __init__(self) -> None:
            self.native = AtariVectorEnv(
                "pong",
                envs,
                noop_max=30,
                repeat_action_probability=0.0,
                reward_clipping=True,
                autoreset_mode=AutoresetMode.SAME_STEP,
            )
            super().__init__(envs, self.native.single_observation_space, self.native.single_action_space)

        def reset(self) -> Any:
            return self.native.reset(seed=0)[0]

        def step_async(self, actions: Any) -> None:
            self.native.send(np.asarray(actions))

        def step_wait(self) -> Any:
            obs, reward, terminated, truncated, info = self.native.recv()
            done = terminated | truncated
            infos: list[dict[str, Any]] = [{} for _ in range(envs)]
            for i in np.flatnonzero(done):
                infos[i] = {
                    "terminal_observation": info["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                }
            return obs, np.asarray(reward, np.float32), done, infos

        def close(self) -> None:
            self.native.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise AttributeError(attr_name)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            raise AttributeError(method_name)

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * envs

    return Adapter()
