"""How every agent is measured: whole episodes in environments of their own, with seeds of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.errors import UsageError, told
from core.plugin import Player
from core.seeds import child
from envs import limited, make, render_episode

__all__ = ["NO_FILM", "evaluate"]

NO_FILM = "; no film, since "
"""What stands in the protocol line before the reason."""

SLOTS = 16
MOST_STEPS = 20_000  # of an episode whose environment has no time limit: a greedy policy may walk in circles for ever
FILM_STEPS = 500  # of the episode, from its start
FILM_HEIGHT = 210  # pixels at most; larger frames are thinned


def evaluate(
    agent: Player,
    episodes: int,
    seed: int,
    *,
    greedy: bool = False,
    film: bool = True,
    on_episode: Callable[[int, float], object] | None = None,
) -> dict[str, Any]:
    """Let `agent` play `episodes` whole episodes of its environment and return their statistics; training does not notice.

    Every slot plays a number of episodes fixed in advance, so that short ones are not favoured. Where the environment has no
    time limit, one of MOST_STEPS is set, as the protocol line says. The episodes' seeds are the same at each call with one
    `seed` and differ from those of training; what is drawn while acting depends on `seed` and the agent's clock. `on_episode` is
    called with (place in eval/returns, return) as soon as an episode is over.

    Returns eval/return_{mean,std,median,min,max}, eval/length_mean, eval/returns [episodes], eval/protocol, and, with `film` and
    when the environment can be drawn, video/episode [T, H, W, 3] uint8 of the first episode, every second frame. Where drawing
    fails the protocol says why, behind NO_FILM. Raises UsageError for what the environment raises and for answers that do not
    fit its spaces.
    """
    env_config = limited(agent.environment, MOST_STEPS)
    slots = min(SLOTS, episodes)
    env = make(env_config, slots, seed=child(seed, "evaluation"))
    quota = np.array([episodes // slots + (i < episodes % slots) for i in range(slots)])
    places = np.cumsum(quota) - quota  # of each slot's first episode among all
    score, length = np.zeros(slots), np.zeros(slots, int)
    scores: list[list[float]] = [[] for _ in range(slots)]
    lengths: list[list[int]] = [[] for _ in range(slots)]
    first = None
    acting = "greedy" if greedy else agent.acting
    rng = np.random.default_rng(child(seed, "act", agent.clock))
    start = memory = agent.memory(slots)
    agent.watch(env)
    try:
        obs = env.reset()
        masked = agent.masks and env.mask is not None
        while (active := quota > 0).any():
            mask = {"mask": env.mask} if masked else {}
            actions, memory = agent.act(obs, memory, rng, greedy=greedy, **mask)
            step = env.step(actions, active)
            obs = step.obs
            memory = _fresh(memory, start, step.done)
            score += step.reward
            length += active
            for i in np.flatnonzero(step.done):
                if on_episode is not None:
                    on_episode(int(places[i]) + len(scores[i]), float(score[i]))
                scores[i].append(float(score[i]))
                lengths[i].append(int(length[i]))
                score[i], length[i] = 0.0, 0
                quota[i] -= 1
                if first is None and i == 0:
                    first = env.last_episode[0]
    finally:
        env.close()
    acting += " actions" + " of those allowed" * masked
    returns = np.concatenate([np.array(s) for s in scores])
    result: dict[str, Any] = {
        "eval/return_mean": float(returns.mean()),
        "eval/return_std": float(returns.std()),
        "eval/return_median": float(np.median(returns)),
        "eval/return_min": float(returns.min()),
        "eval/return_max": float(returns.max()),
        "eval/length_mean": float(np.mean(np.concatenate([np.array(n) for n in lengths]))),
        "eval/returns": returns.tolist(),
        "eval/protocol": f"{episodes} whole episodes, {acting}, fresh environments, unclipped rewards; {env.protocol}",
    }
    frames = None
    if film and first is not None:
        try:
            frames = render_episode(env_config, first, FILM_STEPS, every=2)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a renderer raises, e.g. without OpenGL; the numbers stand without it
            reason = (
                str(error) if isinstance(error, UsageError) else f"drawing raised {type(error).__name__}: {told(error)}"
            )
            result["eval/protocol"] += NO_FILM + reason
    if frames is not None:
        stride = -(-frames.shape[1] // FILM_HEIGHT)
        result["video/episode"] = frames[:, ::stride, ::stride]
    return result


def _fresh(memory: Sequence[np.ndarray], start: Sequence[np.ndarray], done: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the memory [N, ...] in which episodes that are done [N] begin again."""
    return tuple(np.where(done.reshape(-1, *[1] * (m.ndim - 1)), s, m) for m, s in zip(memory, start, strict=True))
