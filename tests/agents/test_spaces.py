"""Every agent takes every space, or says in one sentence which agent does: the table in docs/concepts.md is this test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple

from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.plugin import Context, build
from envs.fakes import Anything
from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract, tiny
from tests.conftest import ROOT

PICTURE = Box(0, 255, (9, 8, 3), np.uint8)
OBSERVATIONS: dict[str, Space] = {  # the table's columns -> a space of it
    "numbers": Box(-np.inf, np.inf, (2, 3), np.float64),
    "whole": Box(0, 255, (3,), np.int16),
    "Discrete": Discrete(3, start=-1),
    "MultiDiscrete": MultiDiscrete([2, 3]),
    "MultiBinary": MultiBinary((2, 2)),
    "Tuple of Discrete": Tuple((Discrete(2), Discrete(3))),
    "Dict, Tuple": Dict({"a": Box(-1, 1, (2,)), "b": Tuple((Discrete(2), MultiBinary(2)))}),
    "picture, bytes": PICTURE,
    "picture, float": Box(0, 1, (1, 8, 10), np.float32),
    "picture, large": Box(0, 255, (38, 41, 1), np.uint8),
    "Dict with a picture": Dict({"image": PICTURE, "direction": Discrete(4)}),
    "Dict with a large picture": Dict({"image": Box(0, 1, (37, 40, 1), np.float32), "speed": Box(-1, 1, (2,))}),
    "Dict with two pictures": Dict({"a": PICTURE, "b": PICTURE}),
    "others": Dict({"words": Text(4), "direction": Discrete(4)}),
}
ACTIONS: dict[str, Space] = {
    "Discrete": Discrete(3, start=-1),
    "MultiDiscrete": MultiDiscrete([[2, 3]], start=[[1, 0]]),
    "MultiBinary": MultiBinary((2, 2)),
    "Box": Box(-1, 2, (2,), np.float32),
    "Box of any shape": Box(-2, 2, (2, 2), np.float64),
    "Box of whole numbers": Box(0, 3, (2,), np.int64),
    "Box without bounds": Box(-np.inf, np.inf, (1,), np.float32),
    "others": Dict({"a": Discrete(2)}),
}
ROWS = ["numbers", "whole", "Discrete", "MultiDiscrete", "MultiBinary", "Tuple of Discrete", "Dict, Tuple"]
PICTURES = ["picture, bytes", "picture, float", "picture, large", "Dict with a picture", "Dict with a large picture"]
CHOICES, BOXES = ["Discrete", "MultiDiscrete", "MultiBinary"], ["Box", "Box of any shape", "Box of whole numbers"]
TAKES = {  # agent -> (observations, actions)
    "policy-gradient": (ROWS + PICTURES, CHOICES),
    "dqn": (ROWS + PICTURES, ["Discrete"]),
    "pqn": (ROWS + PICTURES, ["Discrete"]),
    "actor-critic": (ROWS + PICTURES, [*CHOICES, *BOXES, "Box without bounds"]),
    "a3c": (ROWS + PICTURES, [*CHOICES, *BOXES, "Box without bounds"]),
    "tabular": (["Discrete", "Tuple of Discrete"], ["Discrete"]),
    "ddpg": (ROWS, BOXES),
    "td3": (ROWS, BOXES),
    "sac": (ROWS, BOXES),
}
BOARDS = {"alphazero", "mcts"}  # agents that plan: what they see is the environment itself
MASKED = {"policy-gradient": ["Discrete", "MultiDiscrete", "MultiBinary"], "dqn": ["Discrete"], "pqn": ["Discrete"]}
MASKED |= {"actor-critic": MASKED["policy-gradient"], "a3c": MASKED["policy-gradient"]}
CHEAP = {  # on top of the tiny configuration
    "a3c": {"workers": 1, "backend": "threads", "turn": 2, "n_steps": 3},
    "policy-gradient": {"games": 2, "batch_episodes": 2, "hidden": 4},
    "dqn": {"turn": 4, "batch": 2, "update_every": 8, "burst": 1},
    "actor-critic": {"normalize_observations": False, "epochs": 1, "minibatches": 1, "turn": 4},
    "tabular": {"turn": 10},
}


def row_of_the_docs(agent: str) -> str:
    """Return how a row of the table in docs/concepts.md begins."""
    observations, actions = TAKES[agent]
    seen = [word for word, names in (("rows", ROWS), ("pictures", PICTURES)) if set(names) <= set(observations)]
    taken = [name for name in CHOICES if name in actions]
    if set(BOXES) <= set(actions):
        taken.append("Box with and without bounds" if "Box without bounds" in actions else "Box with bounds")
    masks = "yes" if agent in MASKED else "no"
    return f"| `{agent}` | {', '.join(seen) or 'numbered states'} | {', '.join(taken)} | {masks} |"


def test_the_table_of_the_docs_is_what_is_tested_here() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text()
    agents = {name for name, spec in catalogue().plugins.items() if spec.kind == "agent"}
    ours = {name for name in agents if catalogue().plugins[name].build.startswith("agents.")}
    assert set(TAKES) == ours - BOARDS
    for agent in TAKES:
        assert row_of_the_docs(agent) in page


def made(agent: str, observations: Space, actions: Space, folder: Path, masked: bool = False, **env: Any) -> Any:
    gymnasium.registry.pop("own/Anything-v0", None)
    kwargs = {"observations": observations, "actions": actions, "masked": masked}
    gymnasium.register("own/Anything-v0", Anything, kwargs=kwargs)
    spec = catalogue().plugins[agent]
    config = tiny(replace(spec, tiny={**spec.tiny, "env.id": "own/Anything-v0", **CHEAP.get(agent, {}), **env}))
    return build(spec, config, Context(seed=1, folder=folder))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    gymnasium.registry.pop("own/Anything-v0", None)


def check(agent: str, observations: Space, actions: Space, taken: bool, folder: Path, learn: bool) -> None:
    """Build the agent and let it act, and learn; or get one sentence."""
    if not taken:
        with pytest.raises(UsageError) as caught:
            made(agent, observations, actions, folder).close()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500, caught.value
        assert re.search(r"take|choose|select|needs", str(caught.value)), caught.value
        return
    plugin = made(agent, observations, actions, folder)
    for _ in range(6 if learn else 0):
        assert all(np.isfinite(np.asarray(value)).all() for value in plugin.step().values())
    assert evaluate(plugin, 2, 0, film=False)["eval/length_mean"] == Anything.STEPS
    plugin.close()


FAST = ["actor-critic", "tabular"]


def cases(spaces: dict[str, Space]) -> list[Any]:
    return [
        pytest.param(agent, name, marks=() if agent in FAST else pytest.mark.slow) for agent in TAKES for name in spaces
    ]


@pytest.mark.parametrize(("agent", "name"), cases(ACTIONS))
def test_actions(agent: str, name: str, tmp_path: Path) -> None:
    rows = Discrete(3) if agent == "tabular" else Box(-1, 1, (2,), np.float32)
    check(agent, rows, ACTIONS[name], name in TAKES[agent][1], tmp_path, learn=agent not in FAST)


@pytest.mark.parametrize(("agent", "name"), cases(OBSERVATIONS))
def test_observations(agent: str, name: str, tmp_path: Path) -> None:
    actions = Discrete(2) if "Discrete" in TAKES[agent][1] else Box(-1, 1, (1,), np.float32)
    check(agent, OBSERVATIONS[name], actions, name in TAKES[agent][0], tmp_path, learn=agent not in FAST)


def test_a_part_or_rows_of_a_picture(tmp_path: Path) -> None:
    """What the sentences say helps."""
    space = OBSERVATIONS["Dict with a picture"]
    for keys, shape in ((("image",), (3, 9, 8)), (("direction",), (4,))):
        plugin = made("actor-critic", space, Discrete(2), tmp_path, **{"env.keys": keys})
        assert plugin.observations.shape == shape
        plugin.close()
    flat = {"env.wrap": ("gymnasium.wrappers:FlattenObservation",)}
    assert made("sac", PICTURE, Box(-1, 1, (1,), np.float32), tmp_path, **flat).experience.num_inputs == 9 * 8 * 3


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "name"), [(agent, name) for agent, names in MASKED.items() for name in names])
def test_no_agent_takes_a_masked_action_and_all_export_the_mask(agent: str, name: str, tmp_path: Path) -> None:
    """The environment raises for an action that is not allowed: in learning, evaluation by draws, and greedy evaluation."""
    plugin = made(agent, OBSERVATIONS["Dict, Tuple"], ACTIONS[name], tmp_path, masked=True)
    for _ in range(12):
        assert all(np.isfinite(np.asarray(value)).all() for value in plugin.step().values())
    for greedy in (True, False):
        assert "actions of those allowed" in evaluate(plugin, 4, 0, greedy=greedy, film=False)["eval/protocol"]
    env = plugin.groups[0].env if hasattr(plugin, "groups") else plugin.env
    M, obs = env.mask.shape[1], np.random.default_rng(0).random((64, *env.observation_space.shape), np.float32)
    sizes = [M] if name == "Discrete" else env.action_space.nvec.tolist()
    mask = np.concatenate([np.eye(n, dtype=bool)[np.arange(64) % n] for n in sizes], axis=1)  # one choice each
    out = plugin.exportable()["act"](tf.constant(obs), tf.constant(mask))
    wanted = np.stack([np.arange(64) % n for n in sizes], axis=1)
    wanted = np.array(env.actions)[wanted[:, 0]] if name == "Discrete" else wanted
    np.testing.assert_array_equal(out["action"], wanted)
    if "probability" in out:
        np.testing.assert_array_equal(out["probability"].numpy() > 0, mask)
    plugin.close()


@pytest.mark.slow
@pytest.mark.parametrize("agent", MASKED)
def test_a_masked_agent_goes_on_exactly(agent: str, tmp_path: Path) -> None:
    """Masks are in rollouts, batches and replays, and in the checkpoints of all of them."""
    made(agent, Box(-1, 1, (2,)), ACTIONS["Discrete"], tmp_path, masked=True).close()
    spec = catalogue().plugins[agent]
    check_contract(replace(spec, tiny={**spec.tiny, "env.id": "own/Anything-v0"}), tmp_path)


@pytest.mark.slow
def test_masks_and_a_memory_go_together(tmp_path: Path) -> None:
    remembering = {"memory": "lstm", "memory_size": 4, "envs": 2, "normalize_observations": False}
    made("actor-critic", Box(-1, 1, (2,)), ACTIONS["MultiDiscrete"], tmp_path, masked=True, **remembering).close()
    spec = catalogue().plugins["actor-critic"]
    check_contract(replace(spec, tiny={**spec.tiny, **remembering, "env.id": "own/Anything-v0"}), tmp_path)
