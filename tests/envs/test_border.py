"""The border to environments that are not ours: what they raise and what they say that does not fit becomes one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, Tuple

from agents.rl.evaluate import NO_FILM, evaluate
from core.errors import ForeignError, UsageError, told
from envs import EnvConfig, VectorEnv, make
from tests.envs.players import Stubborn

THREE = Box(-1, 1, (3,), np.float32)
BYTES = Box(0, 255, (3,), np.uint8)
PAIR = Tuple((Discrete(4), Discrete(3, start=1)))


class Told(gymnasium.Env):
    """Says what it is told to say, from step `at` of an episode on, 0 for reset()."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, **says: Any):
        self.render_mode = render_mode
        self.says = {"space": THREE, "at": 1, "reward": 1.0, "terminated": False, **says}
        self.observation_space, self.action_space = self.says["space"], self.says.get("actions", Discrete(2))
        self.taken: list[Any] = []

    def see(self, t: int) -> Any:
        if "obs" in self.says and t >= self.says["at"]:
            return self.says["obs"]
        space = self.observation_space
        if isinstance(space, Tuple):
            return tuple(int(part.start) for part in space)
        return int(space.start) if isinstance(space, Discrete) else np.zeros(space.shape, space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.says["reset"] if "reset" in self.says else (self.see(0), {})

    def step(self, action: Any) -> Any:
        self.t += 1
        if "raises" in self.says and self.t == self.says["at"]:
            raise self.says["raises"]
        if "result" in self.says:
            return self.says["result"]
        self.taken.append(action)
        reward = self.says["reward"] if self.t >= self.says["at"] else 0.0
        return self.see(self.t), reward, self.says["terminated"] if self.t < 5 else True, False, {}

    def render(self) -> Any:
        return self.says["draws"]

    def close(self) -> None:
        if "closes" in self.says:
            raise self.says["closes"]


@pytest.fixture
def told_env() -> Iterator[Callable[..., EnvConfig]]:
    def register(**says: Any) -> EnvConfig:
        gymnasium.registry.pop("own/Told-v0", None)
        gymnasium.register("own/Told-v0", Told, kwargs=says)
        return EnvConfig("own/Told-v0")

    yield register
    gymnasium.registry.pop("own/Told-v0", None)


def begun(config: EnvConfig) -> VectorEnv:
    env = make(config, 2, 0)
    env.reset()
    return env


SENTENCES: dict[str, tuple[dict[str, Any], str]] = {
    "reset without info": ({"reset": np.zeros(3)}, r"in reset\(\): reset\(\) returned .* a tuple of the observation"),
    "reset of two numbers": ({"space": Box(-1, 1, (2,)), "reset": (0.5, 0.5)}, r"reset\(\) returned \(0.5, 0.5\)"),
    "step of the old kind": ({"result": (np.zeros(3), 0.0, False, {})}, "in step 1 of an episode: step.* must return"),
    "step of nothing": ({"result": (0.0,)}, "must return observation, reward"),
    "a row where a matrix is": ({"space": Box(-1, 1, (2, 3)), "obs": np.zeros(3)}, r"shape \[3\]; .* needs \[2, 3\]"),
    "a column where a row is": ({"obs": np.zeros((3, 1), np.float32)}, r"shape \[3, 1\]"),
    "a number, in the first answer": ({"obs": 0.5, "at": 0}, r"in reset\(\): the observation has shape \[\]"),
    "words": ({"obs": ["a", "b", "c"]}, "finite numbers are needed"),
    "rows of different length": ({"obs": [[1.0], [1.0, 2.0]]}, "one array of numbers is needed"),
    "nothing": ({"obs": None}, "the observation is None"),
    "halves where bytes are": ({"space": BYTES, "obs": [1, 2, 0.5]}, "holds 0.5, but its space .* whole numbers only"),
    "below bytes": ({"space": BYTES, "obs": np.array([-1, 0, 0])}, "holds -1, which is outside"),
    "bytes above the bound": (
        {"space": Box(0, 1, (3,), np.uint8), "obs": np.array([0, 7, 0], np.uint8)},
        "holds 7, which is outside",
    ),
    "above one of several bounds": (
        {"space": Box(np.zeros(3, np.int16), np.array([9, 9, 5], np.int16), dtype=np.int16), "obs": [9, 9, 6]},
        "holds 6, which is outside",
    ),
    "a state above": ({"space": Discrete(4), "obs": 4}, r"the state 4, which is outside Discrete\(4\)"),
    "a state below the start": ({"space": Discrete(4, start=3), "obs": np.int64(2)}, "the state 2, which is outside"),
    "a part of a state outside": (
        {"space": PAIR, "obs": (3, 4)},
        r"the state 4, which is outside Discrete\(3, start=1\)",
    ),
    "a state of too many parts": ({"space": PAIR, "obs": (3, 1, 1)}, "a row of 2 states is needed"),
    "a number for a row of states": ({"space": PAIR, "obs": 3}, "the observation is 3; a row of 2 states is needed"),
    "half a state": ({"space": Discrete(4), "obs": 1.5}, "the observation is 1.5"),
    "a state that is nan": ({"space": Discrete(4), "obs": float("nan")}, "finite numbers are needed"),
    "nan": (
        {"obs": np.array([0, np.nan, 0], np.float32), "at": 3},
        "in step 3 of an episode: the observation holds nan",
    ),
    "infinite": ({"obs": np.array([0, np.inf, 0])}, "the observation holds inf"),
    "nan in a list": ({"obs": [0.0, float("nan"), 0.0]}, "finite numbers are needed"),
    "a reward of none": ({"reward": None}, "the reward is None; a finite number"),
    "a reward that is nan": ({"reward": np.float32("nan"), "at": 2}, "in step 2 of an episode: the reward is .*nan"),
    "an infinite reward": ({"reward": float("-inf")}, "the reward is -inf"),
    "a reward of two": ({"reward": np.array([1.0, 2.0])}, "the reward is array"),
    "a reward in words": ({"reward": "1.0"}, "the reward is '1.0'"),
    "an end of none": ({"terminated": None}, "terminated is None; True or False"),
    "an end of two": ({"terminated": np.array([True, False])}, "terminated is array"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_does_not_fit_is_one_sentence(case: str, told_env) -> None:
    says, sentence = SENTENCES[case]
    with pytest.raises(UsageError, match=sentence) as caught:
        env = begun(told_env(**says))
        for _ in range(3):
            env.step(np.zeros(2, int))
    assert str(caught.value).startswith("environment 'own/Told-v0' in ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("says", "sees", "reward"),
    [
        ({"obs": [0.5, 0.25, 0.0]}, [0.5, 0.25, 0.0], 1.0),
        ({"obs": np.array([0.5, 7.0, 0.0])}, [0.5, 7.0, 0.0], 1.0),  # floats may leave their bounds
        ({"space": Box(-1, 1, (1,)), "obs": 0.5}, [0.5], 1.0),  # one number for one
        ({"space": BYTES, "obs": [1.0, 2.0, 255.0]}, [1, 2, 255], 1.0),  # whole, whatever their type
        ({"space": Box(0, 1, (3,), bool), "obs": [1, 0, 1]}, [True, False, True], 1.0),
        ({"space": Discrete(4, start=3), "obs": np.array([5])}, 2, 1.0),
        ({"space": Discrete(4), "obs": True}, 1, 1.0),
        ({"space": PAIR, "obs": (2, 3)}, 2 * 3 + 2, 1.0),  # row by row, each part counted from 0
        ({"space": PAIR, "obs": np.array([3, 1])}, 9, 1.0),
        ({"reward": np.array([[2.5]])}, [0, 0, 0], 2.5),
        ({"reward": np.bool_(True)}, [0, 0, 0], 1.0),
        ({"reward": Fraction(1, 4)}, [0, 0, 0], 0.25),
        ({"terminated": np.array(0)}, [0, 0, 0], 1.0),
    ],
)
def test_what_can_be_taken_as_it_is(says: dict, sees: Any, reward: float, told_env) -> None:
    step = begun(told_env(**says)).step(np.zeros(2, int))
    assert step.obs[1].tolist() == sees and step.reward.tolist() == [reward] * 2


class Bare(BaseException):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (SystemExit(), "raised SystemExit in step 2 of an episode: it asked to end the process with exit code 0"),
        (SystemExit("the window was closed"), "raised SystemExit in step 2 of an episode: the window was closed"),
        (RuntimeError("\n\n   not set up\n"), "raised RuntimeError in step 2 of an episode: not set up"),
        (ValueError(), "raised ValueError in step 2 of an episode: it says nothing more"),
        (Bare(), "raised Bare in step 2 of an episode: it says nothing more"),
    ],
)
def test_what_step_raises(raised: BaseException, says: str, told_env) -> None:
    env = begun(told_env(raises=raised, at=2))
    env.step(np.zeros(2, int))
    with pytest.raises(ForeignError) as caught:
        env.step(np.zeros(2, int))
    assert str(caught.value) == f"environment 'own/Told-v0' {says}" and type(caught.value.__cause__) is type(raised)


def test_what_the_module_and_the_constructor_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaving_envs.py").write_text("import sys\nsys.exit('no licence')\n")
    (tmp_path / "refusing_envs.py").write_text(
        "import gymnasium\n"
        "class Port(gymnasium.Env):\n"
        "    def __init__(self, render_mode=None): raise OSError(98, 'Address already in use')\n"
        "class NoSpaces(gymnasium.Env): pass\n"
        "gymnasium.register('own/Port-v0', Port)\n"
        "gymnasium.register('own/NoSpaces-v0', NoSpaces)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, says in {
        "leaving_envs:own/X-v0": "module 'leaving_envs' of environment .* raised SystemExit when it was imported: no licence",
        "refusing_envs:own/Port-v0": "raised OSError when it was made: .*Address already in use",
        "refusing_envs:own/NoSpaces-v0": "own/NoSpaces-v0",
    }.items():
        with pytest.raises(ForeignError, match=says):
            make(EnvConfig(name), 1, 0)
    assert told(OSError(98, "Address already in use")) == "[Errno 98] Address already in use"


def test_an_interrupt_is_left_to_the_launcher(told_env) -> None:
    env = begun(told_env(raises=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("raised", [AttributeError("no viewer"), SystemExit(), KeyboardInterrupt()])
def test_close_costs_one_warning(raised: BaseException, told_env, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"closing-{type(raised).__name__}"
    gymnasium.register(f"own/{name}-v0", Told, kwargs={"closes": raised})
    env = begun(EnvConfig(f"own/{name}-v0"))
    for _ in range(12):  # over episode ends, each of which closes an instance
        env.step(np.zeros(2, int))
    env.close()
    gymnasium.registry.pop(f"own/{name}-v0")
    err = capsys.readouterr().err
    assert err.count("warning: ") == 1 and f"'own/{name}-v0' raised {type(raised).__name__} in close()" in err


@pytest.mark.parametrize(
    ("space", "wanted", "actions"),
    [
        (Discrete(3, start=-1), (-1, 1), [[0, 1], [1, 0]]),
        (Discrete(3, start=-2), (), [[0, 2], [1, 0]]),
        (Discrete(2), (), [[0, 1]]),
    ],
)
def test_actions_are_numpy_numbers_by_their_own_name(space: Discrete, wanted: tuple, actions: list, told_env) -> None:
    env = begun(EnvConfig(told_env(actions=space).id, actions=wanted))
    names = wanted or tuple(range(int(space.start), int(space.start + space.n)))
    instances = [bank._env.unwrapped for bank in env.banks]
    for row in actions:
        env.step(np.array(row))
    for i, instance in enumerate(instances):
        assert [a.item() for a in instance.taken] == [names[row[i]] for row in actions]
        assert all(isinstance(a, np.int64) and space.contains(a) for a in instance.taken)
    with pytest.raises(UsageError, match="do not fit"):
        make(EnvConfig("own/Told-v0", actions=(9,)), 1, 0)


def test_an_evaluation_closes_its_environments_whatever_happens(told_env, capsys: pytest.CaptureFixture[str]) -> None:
    gymnasium.register(
        "own/closed-after-all-v0", Told, kwargs={"closes": OSError("closed"), "raises": OSError(), "at": 2}
    )
    with pytest.raises(ForeignError, match="raised OSError in step 2"):
        evaluate(Stubborn(EnvConfig("own/closed-after-all-v0")), 1, 0)
    gymnasium.registry.pop("own/closed-after-all-v0")
    assert "in close(): closed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("draws", "why"),
    [
        (np.zeros((5, 6, 5), np.uint8), "its pictures have shape [5, 6, 5]"),
        (np.zeros((2, 4, 6, 3), np.uint8), "its pictures have shape [2, 4, 6, 3]"),
        (np.full((4, 6, 3), np.nan), "its pictures hold nan or inf"),
        (np.full((4, 6, 3), 300), "its pictures hold 300"),
        ("a picture", "render() returned"),
        ([np.zeros((4, 6)), np.zeros((5, 6))], "drawing raised ValueError"),
        (np.zeros((4, 6, 3), np.uint8), None),
    ],
)
def test_a_film_is_right_or_left_out_with_a_word(draws: Any, why: str | None, told_env) -> None:
    measured = evaluate(Stubborn(told_env(draws=draws)), 1, 0)
    assert measured["eval/returns"] == [5.0]
    if why is None:
        assert measured["video/episode"].shape == (3, 4, 6, 3) and NO_FILM not in measured["eval/protocol"]
    else:
        assert f"{NO_FILM}{why}" in measured["eval/protocol"] and "video/episode" not in measured
