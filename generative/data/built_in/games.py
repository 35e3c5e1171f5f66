"""Frames of Atari games."""

from __future__ import annotations

from generative.data.registry import Images, Opening, source
from generative.data.settings import DataConfig

__all__ = ["atari"]


@source(
    "atari:GAME",
    kind="pictures",
    summary="frames that the emulator plays on the spot, at random; cached with a checksum (ale-py)",
    example="Pong",
)
def atari(config: DataConfig, opening: Opening) -> Images:
    from generative.data.atari import atari_frames
    from generative.data.pictures import OWN_SIZE

    size, channels = config.sides or OWN_SIZE, config.channels or 3
    frames, protocol = atari_frames(opening.argument, config.frames, size, channels, config.crop, opening.say)
    return Images(frames, what=protocol)
