"""Gymnasium's MuJoCo environments: exact snapshots, nothing written into the current folder, films where there is OpenGL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import checkpoint, errors
from core.errors import UsageError
from envs import EnvConfig, make, render_episode
from envs.mujoco import no_display

IDS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5", "InvertedPendulum-v5")


def test_without_a_display_mujoco_needs_a_way_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert "MUJOCO_GL=egl or MUJOCO_GL=osmesa" in no_display()
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert no_display() == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
def test_mujoco_replays_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    played, other = make(EnvConfig(name), 2, seed=1), make(EnvConfig(name), 2, seed=2)
    rng = np.random.default_rng(0)
    played.reset(), other.reset()

    def actions() -> np.ndarray:
        space = played.action_space
        return rng.uniform(space.low, space.high, (2, *space.shape)).astype(np.float32)

    for _ in range(70):
        played.step(actions())
    path = checkpoint.save(tmp_path, f"{1:012d}", {"env": played})
    checkpoint.load(path, {"env": other})
    np.testing.assert_array_equal(played.obs, other.obs)
    for _ in range(150):
        chosen = actions()
        one, two = played.step(chosen), other.step(chosen)
        for field in ("obs", "reward", "terminated", "truncated", "final_obs"):
            np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.slow
def test_mujocos_warnings_are_ours_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(errors, "_WARNED", set())
    env = make(EnvConfig("Hopper-v5"), 1, seed=0)
    env.reset()
    instance: Any = env.banks[0]._env  # type: ignore[attr-defined]
    instance.unwrapped.data.qvel[:] = 1e15
    env.step(np.zeros((1, 3), np.float32))
    env.close()
    seen = capfd.readouterr()
    assert (
        seen.out == "" and seen.err.startswith("warning: MuJoCo: Nan, Inf or huge value") and seen.err.count("\n") == 1
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_film_of_mujoco_or_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    config = EnvConfig("Hopper-v5", time_limit=6)
    env = make(config, 1, seed=0)
    env.reset()
    while env.last_episode[0] is None:
        env.step(np.zeros((1, 3), np.float32))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if sys.platform == "linux":
        with pytest.raises(UsageError, match="MUJOCO_GL=egl"):
            render_episode(config, env.last_episode[0])
    monkeypatch.setenv("MUJOCO_GL", "egl")
    try:
        frames = render_episode(config, env.last_episode[0])
    except Exception as error:  # noqa: BLE001 - whatever OpenGL raises where it is not installed
        pytest.skip(f"no EGL here: {error}")
    assert frames is not None and frames.shape == (7, 480, 480, 3) and frames.std() > 10
