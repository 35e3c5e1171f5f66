"""Frames of an Atari game, played on the spot and kept in a cache with a checksum."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.disk import write_whole
from generative.data.cache import cache_folder
from generative.data.pictures import Size, prepare, sides

__all__ = ["atari_frames"]

Policy = Callable[[np.ndarray], np.ndarray]
GAMES = 8  # side by side
EVERY = 5  # steps between two kept frames of one game, of four emulator frames each: neighbours would be near copies
SEED = 0


def atari_frames(
    game: str,
    count: int,
    size: Size,
    channels: int,
    crop: bool,
    say: Callable[[str], None] = lambda line: None,
    policy: Policy | None = None,
) -> tuple[np.ndarray, str]:
    """Return `count` frames [count, height, width, channels] uint8 and a line that says how they came about.

    `policy` maps screens [N, 210, 160, 3] to actions [N]; None plays at random. Only random play is cached: a file whose
    checksum does not fit is made again. Raises UsageError for an unknown game.
    """
    import ale_py

    how = "random play" if policy is None else "a given policy's play"
    protocol = f"{game}, {how}, every {EVERY}th of its steps of 4 frames, ale-py {ale_py.__version__}"
    height, width = sides(size)
    kind = "cropped" if crop else "squeezed"
    name = f"atari-{game}-{count}-{height}x{width}x{channels}-{kind}-{ale_py.__version__}.npy"
    path = cache_folder() / re.sub(r"[^\w.-]", "_", name)
    if policy is None and path.is_file():
        frames = _read(path, (count, height, width, channels))
        if frames is not None:
            return frames, protocol
        say(f"{path} does not fit its checksum; the frames are played again")
    say(f"playing {count:,} frames of {game}")
    frames = _play(game, count, size, channels, crop, policy)
    if policy is None:
        _write(path, frames, say)
    return frames, protocol


def _play(game: str, count: int, size: Size, channels: int, crop: bool, policy: Policy | None) -> np.ndarray:
    import gymnasium

    from envs import EnvConfig, VectorEnv, make
    from envs.atari import AtariBank

    config = EnvConfig(f"ALE/{game}-v5", observation="raw")
    make(config, 1, SEED).close()  # says in a sentence if there is no such game
    native = gymnasium.spec(config.id).kwargs["game"]
    env = VectorEnv([AtariBank(config, native, "raw", rgb=True) for _ in range(GAMES)], SEED, protocol="")
    rng = np.random.default_rng(SEED)
    frames: list[np.ndarray] = []
    try:
        env.reset()
        actions = env.action_space.n
        step = 0
        while len(frames) < count:
            env.step(rng.integers(actions, size=GAMES) if policy is None else policy(env.obs))
            step += 1
            if step % EVERY == 0:
                screens = env.obs[: count - len(frames)]
                frames += [prepare(Image.fromarray(screen), size, channels, crop) for screen in screens]
    finally:
        env.close()
    return np.stack(frames)


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the cached frames, or None where file and checksum disagree."""
    try:
        raw, digest = path.read_bytes(), path.with_suffix(".sha256").read_text().strip()
        if hashlib.sha256(raw).hexdigest() != digest:
            return None
        frames = np.load(io.BytesIO(raw), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return frames if frames.shape == shape and frames.dtype == np.uint8 else None


def _put(content: bytes, file: Any) -> None:
    file.write(content)


def _write(path: Path, frames: np.ndarray, say: Callable[[str], None]) -> None:
    """Write frames, then checksum, each under a name of its own first; a cache that cannot be written is only said."""
    buffer = io.BytesIO()
    np.save(buffer, frames, allow_pickle=False)
    raw = buffer.getvalue()
    texts = {path: raw, path.with_suffix(".sha256"): hashlib.sha256(raw).hexdigest().encode()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content in texts.items():
            write_whole(target, partial(_put, content))
    except OSError as error:
        say(f"the frames cannot be kept in {path.parent}: {error.strerror}")
