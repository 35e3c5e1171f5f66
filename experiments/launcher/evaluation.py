"""How a plugin is measured: an agent plays as `--eval.*` says, a generative model measures itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.plugin import Generator, Player, Plugin
from experiments.launcher.settings import EvalConfig

__all__ = ["measure"]


def measure(
    plugin: Plugin | Player,
    settings: EvalConfig | None,
    seed: int,
    *,
    last: bool,
    on_episode: Callable[[int, float], object] | None = None,
) -> dict[str, Any]:
    """Return what an evaluation of the current weights says, by tag; the training state does not change.

    `seed` is the run's, `last` whether no evaluation follows; `on_episode` as `agents.rl.evaluate` has it. Raises whatever the
    plugin or its environment raises.
    """
    if isinstance(plugin, Generator):
        return dict(plugin.evaluate())
    assert isinstance(plugin, Player) and settings is not None
    from agents.rl.evaluate import evaluate

    film = settings.film == "always" or (settings.film == "last" and last)
    seed = seed if settings.seed is None else settings.seed
    found = evaluate(plugin, settings.episodes, seed, greedy=settings.greedy, film=film, on_episode=on_episode)
    return found | dict(plugin.measures())
