from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

from agents.rl.evaluate import evaluate
from core import checkpoint
from core.errors import UsageError
from envs import EnvConfig, VectorEnv, limited, make, render_episode
from envs import fakes as fakes_module
from envs.atari import pong_objects
from tests.envs.players import Stubborn

PONG = EnvConfig("ALE/Pong-v5", observation="pong80", actions=(0, 2, 3))
CATCH = EnvConfig("pongan/Catch-v0")
WALK = EnvConfig("pongan/Walk-v0")
RESTORED = {
    "cartpole": EnvConfig("CartPole-v1"),
    "walk": WALK,
    "pong80": PONG,
    "pong80frames": EnvConfig("ALE/Pong-v5", observation="pong80frames", frame_stack=3),
    "pong-frames42": EnvConfig("ALE/Pong-v5", observation="frames42", frame_stack=2),
    "breakout": EnvConfig("ALE/Breakout-v5"),
    "breakout-sticky": EnvConfig("ALE/Breakout-v5", sticky_actions=0.25),
    "lander": EnvConfig("LunarLander-v3"),
    "walker": EnvConfig("BipedalWalker-v3", time_limit=60),
    "frozen-lake": EnvConfig("FrozenLake-v1"),
}


def random_actions(env: VectorEnv, rng: np.random.Generator) -> np.ndarray:
    space = env.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(space.n, size=env.num_envs)
    return rng.uniform(-1, 1, (env.num_envs, *space.shape)).astype(np.float32)


def made(name: str, num_envs: int = 2, seed: int = 0) -> VectorEnv:
    if name in ("lander", "walker"):
        pytest.importorskip("Box2D")
    env = make(RESTORED[name], num_envs, seed)
    env.reset()
    return env


@pytest.mark.parametrize("name", RESTORED)
def test_a_restored_environment_goes_on_the_same(name: str, tmp_path: Path) -> None:
    """Through a checkpoint on disk, into an environment that stood elsewhere, over episode ends."""
    env, rng = made(name), np.random.default_rng(0)
    for _ in range(150):
        env.step(random_actions(env, rng))
    path = checkpoint.save(tmp_path, "x", env.state())
    assert len((path / "tree.json").read_text()) < 20_000
    other = made(name, seed=99)
    other.load_state(checkpoint.load(path, other.state()))
    np.testing.assert_array_equal(env.obs, other.obs)
    for _ in range(150):
        actions = random_actions(env, rng)
        a, b = env.step(actions), other.step(actions)
        for field in ("obs", "reward", "terminated", "truncated", "final_obs"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    env.close()
    other.close()


def test_an_environment_that_is_no_function_of_its_seed_is_named() -> None:
    class Drifting(fakes_module.Walk):
        drift = 0.0

        def reset(self, **kwargs):
            _, info = super().reset(**kwargs)
            Drifting.drift += 1.0
            self._x += Drifting.drift
            return np.array([self._x], np.float32), info

    gymnasium.register("test/Drifting-v0", lambda **kwargs: Drifting(**kwargs))
    env = make(EnvConfig("test/Drifting-v0"), 1, 0)
    env.reset()
    env.step(np.zeros((1, 1), np.float32))
    with pytest.raises(UsageError, match="did not come out where it was"):
        env.load_state(env.state())


def test_what_step_means_at_an_episode_end() -> None:
    env = make(CATCH, 2, 0)
    first = env.reset()
    for _ in range(4):
        step = env.step(np.array([1, 1]))
        assert not step.done.any() and step.final_obs is step.obs
    step = env.step(np.array([1, 1]))
    assert step.terminated.all() and not step.truncated.any()
    assert set(step.reward) <= {-1.0, 1.0}
    assert (step.final_obs[:, -1].max(axis=1) >= 0.5).all()  # the ball or the paddle on the floor
    assert (step.obs[:, 0].sum(axis=1) == 1.0).all()  # the next episode's ball at the top
    np.testing.assert_array_equal(env.obs, step.obs)
    assert first.shape == step.obs.shape == (2, 6, 5)
    seed, actions = env.last_episode[0]
    assert isinstance(seed, int) and actions.tolist() == [1] * 5


def test_a_time_limit_truncates_and_does_not_terminate() -> None:
    env = make(WALK, 1, 0)
    env.reset()
    for t in range(20):
        step = env.step(np.zeros((1, 1), np.float32))
        assert step.truncated[0] == (t == 19) and not step.terminated[0]
    short = make(EnvConfig("pongan/Walk-v0", time_limit=3), 1, 0)
    short.reset()
    assert [bool(short.step(np.zeros((1, 1), np.float32)).truncated[0]) for _ in range(6)] == [False, False, True] * 2


class Counter(gymnasium.Env):
    """Counts from 5 to 7 with the action 11, stays with 10; no time limit of its own."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Discrete(3, start=5)
        self.action_space = gymnasium.spaces.Discrete(2, start=10)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._at = 5
        return np.int64(5), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self._at += int(action) - 10
        return np.int64(self._at), 1.0, self._at == 7, False, {}


@pytest.fixture
def counter():
    gymnasium.register("pongan/Counter-v0", Counter)
    yield EnvConfig("pongan/Counter-v0")
    gymnasium.registry.pop("pongan/Counter-v0")


def test_discrete_spaces_are_counted_from_0(counter: EnvConfig) -> None:
    env = make(counter, 1, 0)
    assert env.observation_space == gymnasium.spaces.Discrete(3) and env.action_space == gymnasium.spaces.Discrete(2)
    assert env.actions == (10, 11) and env.first_state == 5
    assert env.reset().tolist() == [0]
    assert [env.step(np.array([a])).final_obs.tolist() for a in (1, 0, 1)] == [[1], [1], [2]]
    assert env.obs.tolist() == [0]
    only = make(EnvConfig(counter.id, actions=(11,)), 1, 0)
    only.reset()
    assert only.actions == (11,) and make(EnvConfig("ALE/Pong-v5", actions=(0, 2, 3)), 1, 0).actions == (0, 2, 3)
    assert only.step(np.array([0])).obs.tolist() == [1]
    with pytest.raises(UsageError, match="do not fit"):
        make(EnvConfig(counter.id, actions=(0,)), 1, 0)


def test_an_environment_may_write_into_its_action() -> None:
    class Scaling(fakes_module.Walk):
        def step(self, action):
            action *= 0.5
            return super().step(action)

    gymnasium.register("test/Scaling-v0", lambda **kwargs: Scaling(**kwargs), max_episode_steps=20)
    env = make(EnvConfig("test/Scaling-v0"), 2, 0)
    env.reset()
    for _ in range(5):
        action = np.full((2, 1), 0.8, np.float32)
        env.step(action)
        assert (action == 0.8).all()
    env.load_state(env.state())


@pytest.mark.parametrize("how", ["raises", "nothing"])
def test_what_cannot_be_drawn_is_measured_all_the_same(how: str) -> None:
    class Headless(fakes_module.Catch):
        def render(self):
            if how == "raises":
                raise RuntimeError("an OpenGL platform library has not been loaded")
            return None

    gymnasium.register("test/Headless-v0", lambda **kwargs: Headless(**kwargs))
    gymnasium.registry["test/Headless-v0"].entry_point.metadata = Headless.metadata
    try:
        measured = evaluate(Stubborn(EnvConfig("test/Headless-v0"), 1), 3, 0)
    finally:
        gymnasium.registry.pop("test/Headless-v0")
    assert "video/episode" not in measured and len(measured["eval/returns"]) == 3
    assert {
        "raises": "; no film, since drawing raised RuntimeError: an OpenGL platform library has not been loaded",
        "nothing": "; no film, since render() returned None",
    }[how] in measured["eval/protocol"]


@pytest.mark.parametrize(
    ("name", "pong"),
    [
        *[(name, True) for name in ("ALE/Pong-v5", "Pong-v4", "PongNoFrameskip-v4", "ale_py:ALE/Pong-v5")],
        *[(name, False) for name in ("mine/Pong-v0", "my_package:Pong-v0", "ALE/Pong2-v5", "ALE/Breakout-v5")],
    ],
)
def test_pong_is_the_atari_game_however_it_is_spelt(name: str, pong: bool) -> None:
    assert EnvConfig(name).is_pong == pong


def test_endless_environments_get_a_limit_for_evaluation(counter: EnvConfig) -> None:
    assert limited(counter, 9).time_limit == 9
    for own in (EnvConfig("CartPole-v1"), EnvConfig("ALE/Pong-v5"), EnvConfig(counter.id, time_limit=4)):
        assert limited(own, 9) == own
    stay = evaluate(Stubborn(counter), 3, 0)
    assert stay["eval/returns"] == [20_000.0] * 3 and "time limit 20000 steps" in stay["eval/protocol"]


def test_an_atari_time_limit_truncates() -> None:
    env = make(EnvConfig("ALE/Pong-v5", time_limit=7), 1, 0)
    env.reset()
    assert [bool(env.step(np.array([0])).truncated[0]) for _ in range(14)] == ([False] * 6 + [True]) * 2


@pytest.mark.parametrize("config", [CATCH, PONG], ids=["catch", "pong"])
def test_idle_slots_stand_still(config: EnvConfig) -> None:
    env = make(config, 3, 0)
    before = env.reset().copy()
    active = np.array([True, False, True])
    for _ in range(3):
        step = env.step(np.array([1, 1, 1]), active)
        np.testing.assert_array_equal(step.obs[1], before[1])
        assert step.reward[1] == 0 and not step.done[1]
    lengths = [len(e["actions"]) for e in env.state()["episodes"]]
    assert lengths == [3, 0, 3]


def test_a_slots_episodes_do_not_depend_on_its_neighbours() -> None:
    def episodes(idle: bool) -> list:
        env = make(CATCH, 2, 5)
        seen = [env.reset()[0].copy()]
        for t in range(30):
            step = env.step(np.array([0, 2]), np.array([True, not idle or t % 2 == 0]))
            seen.append(step.obs[0].copy())
        return seen

    np.testing.assert_array_equal(episodes(False), episodes(True))


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ([3, 0], "action 3 is out of range; valid actions are 0 to 2"),
        ([-1, 0], "action -1 is out of range"),
        ([0], r"shape \[1\]"),
        ([0.0, 1.0], "float64"),
    ],
)
@pytest.mark.parametrize("config", [CATCH, PONG], ids=["catch", "pong"])
def test_wrong_actions_are_refused_before_the_emulator_hangs(config: EnvConfig, actions: list, says: str) -> None:
    env = make(config, 2, 0)
    env.reset()
    with pytest.raises(UsageError, match=says):
        env.step(np.array(actions))
    assert not env.step(np.array([0, 0])).done.any()


def test_continuous_actions_must_be_finite_and_fit() -> None:
    env = make(WALK, 2, 0)
    env.reset()
    with pytest.raises(UsageError, match=r"\[2, 1\] is needed"):
        env.step(np.zeros(2))
    with pytest.raises(UsageError, match="not finite"):
        env.step(np.array([[0.0], [np.nan]]))


@pytest.mark.parametrize("name", ["pongan/Catch-v0", "pongan/Walk-v0"])
def test_our_own_environments_pass_gymnasiums_checker(name: str) -> None:
    fakes_module.register()
    check_env(gymnasium.make(name).unwrapped, skip_render_check=True)


def test_the_difference_frame_is_karpathys() -> None:
    """Against his recipe on the coloured screen: crop, every second pixel, background (144, 109) erased, the rest 1."""
    import ale_py

    gymnasium.register_envs(ale_py)
    colour = gymnasium.make("ALE/Pong-v5", frameskip=4, repeat_action_probability=0.0)
    env, both = (
        make(EnvConfig("ALE/Pong-v5", observation=observation, actions=(0, 2, 3), noop_max=0), 1, 0)
        for observation in ("pong80", "pong80x2")
    )
    assert not env.reset().any()  # no previous frame at an episode's start
    picture, moved = both.reset()[0]
    assert picture.any() and not moved.any()

    def recipe(screen: np.ndarray) -> np.ndarray:
        red = screen[35:195][::2, ::2, 0].astype(int)
        red[(red == 144) | (red == 109)] = 0
        return (red != 0).astype(int)

    screen, _ = colour.reset()
    previous = recipe(screen)
    rng = np.random.default_rng(0)
    nonzero = 0
    for _ in range(300):
        a = int(rng.integers(3))
        screen, reward, *_ = colour.step((0, 2, 3)[a])
        step = env.step(np.array([a]))
        current = recipe(screen)
        np.testing.assert_array_equal(step.obs[0], current - previous)
        np.testing.assert_array_equal(both.step(np.array([a])).obs[0], [current, current - previous])
        assert step.reward[0] == reward
        previous = current
        nonzero += int(np.abs(step.obs).sum())
    assert nonzero > 1000 and step.obs.shape == (1, 80, 80)


@pytest.mark.parametrize(("many", "one", "picture"), [("pong80frames", "pong80x2", 0), ("frames84", "frames84", -1)])
def test_a_stack_is_the_last_frames_of_its_episode(many: str, one: str, picture: int) -> None:
    """Three frames, the newest last, beside those that single pictures give; empty at the start. The games share a bank."""
    stacked, plain = (
        make(EnvConfig("ALE/Pong-v5", observation=kind, frame_stack=k, noop_max=0, time_limit=6), 3, 0, may_idle=False)
        for kind, k in ((many, 3), (one, 4))
    )
    assert stacked.frame_stack == 3 and stacked.observation_space.shape[0] == 3
    seen, newest = stacked.reset(), plain.reset()[:, picture]
    assert seen[:, 2].any() and not seen[:, :2].any()
    frames = [np.zeros_like(newest), np.zeros_like(newest), newest]
    rng = np.random.default_rng(0)
    for _ in range(14):
        actions = rng.integers(6, size=3)
        a, b = stacked.step(actions), plain.step(actions)
        frames = [*frames[1:], b.final_obs[:, picture]]
        np.testing.assert_array_equal(a.final_obs, np.stack(frames, axis=1))
        if b.done.all():
            frames = [np.zeros_like(newest), np.zeros_like(newest), b.obs[:, picture]]
        np.testing.assert_array_equal(a.obs, np.stack(frames, axis=1))
    for env in (stacked, plain):
        env.close()


def test_pong_objects_on_a_painted_screen() -> None:
    screen = np.full((210, 160), 87, np.uint8)
    screen[:35] = 236  # the score is above the field
    screen[100:104, 80:82] = 236  # the ball
    picture = pong_objects(screen)
    assert picture.shape == (80, 80) and picture.sum() == 2
    assert picture[33, 40] == 1 and picture[34, 40] == 1


@pytest.mark.slow
def test_no_op_starts_differ_and_come_back_with_the_seed() -> None:
    a, b, c = (make(PONG, 8, seed) for seed in (0, 0, 1))
    for env in (a, b, c):
        env.reset()

    def play(env: VectorEnv) -> np.ndarray:
        return np.stack([env.step(np.zeros(8, int)).obs for _ in range(40)])

    x, y, z = play(a), play(b), play(c)
    np.testing.assert_array_equal(x, y)
    assert not np.array_equal(x, z)
    assert len({x[:, i].tobytes() for i in range(8)}) > 3


def test_rewards_are_never_clipped_and_the_protocol_says_everything() -> None:
    env = make(EnvConfig("ALE/Breakout-v5", sticky_actions=0.25), 1, 0)
    for fact in (
        "ALE/Breakout-v5",
        "frames84",
        "frame skip 4",
        "sticky actions 0.25",
        "no-op",
        "27000 steps",
        "NOOP/FIRE/RIGHT/LEFT",
    ):
        assert fact in env.protocol
    assert env.reset().shape == (1, 4, 84, 84)


def test_a_finished_episode_can_be_filmed() -> None:
    for config, shape in ((PONG, (210, 160, 3)), (CATCH, (96, 80, 3))):
        env = make(EnvConfig(**{**config.__dict__, "time_limit": 9}), 1, 0)
        env.reset()
        while env.last_episode[0] is None:
            env.step(np.array([1]))
        film = render_episode(config, env.last_episode[0])
        assert film.dtype == np.uint8 and film.shape[1:] == shape and len(film) == len(env.last_episode[0][1]) + 1
        assert (film[0] != film[-1]).any()
    assert render_episode(WALK, (0, np.zeros((3, 1), np.float32))) is None


def test_third_party_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_env_package.py").write_text(
        "import gymnasium\nfrom envs.fakes import Catch\ngymnasium.register('MyCatch-v0', lambda **kw: Catch(**kw))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    env = make(EnvConfig("my_env_package:MyCatch-v0"), 1, 0)
    assert env.reset().shape == (1, 6, 5)


def test_a_tuple_of_states_is_one_number() -> None:
    env = make(EnvConfig("Blackjack-v1"), 3, 0)
    assert env.observation_space == Discrete(32 * 11 * 2) and env.state_shape == (32, 11, 2)
    seen = np.stack(np.unravel_index(env.reset(), (32, 11, 2)))
    own = gymnasium.make("Blackjack-v1")
    for i, seed in enumerate(env._seeds):
        assert own.reset(seed=seed)[0] == tuple(seen[:, i].tolist())


@pytest.mark.parametrize(
    "name", ["FrozenLake-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4", "Blackjack-v1"]
)
def test_toy_texts_play_the_same_in_one_instance_as_in_new_ones(name: str) -> None:
    config, rng = EnvConfig(name, time_limit=25), np.random.default_rng(0)
    spec = gymnasium.spec(name)
    assert str(spec.entry_point).startswith("gymnasium.envs.toy_text.")
    env = make(config, 2, 0)
    env.reset()
    finished = 0
    while finished < 12:
        step = env.step(rng.integers(int(env.action_space.n), size=2))
        for i in np.flatnonzero(step.done):
            finished += 1
            seed, actions = env.last_episode[i]
            fresh = gymnasium.make(name, max_episode_steps=25)
            fresh.reset(seed=seed)
            for action in actions:
                obs, reward, terminated, truncated, _ = fresh.step(int(action))
            number = np.ravel_multi_index(obs, env.state_shape) if isinstance(obs, tuple) else obs
            assert (number, reward, terminated) == (step.final_obs[i], step.reward[i], step.terminated[i])
            assert truncated or terminated


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": "CartPole"}, "did you mean 'CartPole-v1'"),
        ({"id": "Pong"}, "did you mean 'ALE/Pong-v5'"),
        ({"id": "ALE/Pnog-v5"}, "did you mean 'ALE/Pong-v5'"),
        ({"id": "no_such_module:X-v0"}, "no_such_module"),
        ({"id": "CartPole-v1", "observation": "pong80"}, "for Atari games"),
        ({"id": "ALE/Breakout-v5", "observation": "pong80"}, "colours of Pong only"),
        ({"id": "ALE/Pong-v5", "actions": (0, 9)}, "0 to 5"),
        ({"id": "CartPole-v1", "actions": (0, 2)}, "do not fit"),
        ({"id": "CartPole-v1", "frame_skip": 0}, "at least 1"),
        ({"id": "ALE/Pong-v5", "frame_stack": 0}, "frame_stack is 0; it must be at least 1 frame and at most 64"),
        ({"id": "ALE/Pong-v5", "frame_stack": 65}, "frame_stack is 65; it must be at least 1"),
        (
            {"id": "ALE/Pong-v5", "observation": "pong80", "frame_stack": 2},
            "frame_stack is 2, but the observation 'pong80' is no stack of frames; frames84, frames42 and pong80frames are",
        ),
        ({"id": "CartPole-v1", "frame_stack": 2}, "frame_stack is 2, but only Atari games are seen in stacks"),
        ({"id": "CartPole-v1", "observation": "pong80frames"}, "for Atari games"),
        ({"id": "ALE/Breakout-v5", "observation": "pong80frames"}, "colours of Pong only"),
        ({"id": "CartPole-v1", "sticky_actions": 1.5}, "probability"),
        ({"id": "CartPole-v1", "actions": (1, 1)}, "twice"),
        ({"id": "CartPole-v1", "time_limit": -1}, "time_limit is -1"),
    ],
)
def test_wrong_configurations_get_one_sentence(fields: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        make(EnvConfig(**fields), 1, 0)
    assert "\n" not in str(caught.value)


def test_state_is_plain_json_and_arrays() -> None:
    env = made("cartpole")
    env.step(np.array([0, 1]))
    tree = env.state()
    plain = [{k: (v.tolist() if isinstance(v, np.ndarray) else v) for k, v in e.items()} for e in tree["episodes"]]
    assert json.loads(json.dumps(plain)) == plain and [e["actions"] for e in plain] == [[0], [1]]


def test_an_agents_memory_begins_anew_with_every_episode() -> None:
    agent = Stubborn(EnvConfig("pongan/Catch-v0"))  # an episode of Catch has a fixed length
    measured = evaluate(agent, 40, 0)
    assert max(int(lengths.max()) for lengths in agent.lengths) == measured["eval/length_mean"]
    assert sum((lengths == 1).sum() for lengths in agent.lengths) >= 40
