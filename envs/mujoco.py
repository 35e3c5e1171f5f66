"""What MuJoCo does besides simulating: it writes warnings to the terminal and to MUJOCO_LOG.TXT in the current folder, and draws
by OpenGL. The package is the extra pongan[mujoco]; nothing here imports it."""

from __future__ import annotations

import os
import sys

from core.errors import warn

__all__ = ["no_display", "take_over_warnings"]


def take_over_warnings() -> None:
    """Let MuJoCo's warnings come once each and in our words, and no file be written. It changes nothing where MuJoCo is not
    imported or somebody else listens already. Warnings about deprecated words in model files are left out."""
    mujoco = sys.modules.get("mujoco")
    if mujoco is not None and mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_pass_on)


def no_display() -> str:
    """Return why MuJoCo cannot draw here, as a clause, or nothing where it may."""
    if not sys.platform.startswith("linux") or any(os.environ.get(key) for key in ("MUJOCO_GL", "DISPLAY")):
        return ""
    return "MuJoCo draws without a display where MUJOCO_GL=egl or MUJOCO_GL=osmesa is set, and neither is"


def _pass_on(message: str) -> None:
    text = " ".join(message.split())
    if "deprecated" not in text:
        warn(f"MuJoCo: {text}")
