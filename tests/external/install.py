"""Puts the external package on a path with its own entry-point metadata, as an installer would."""

from __future__ import annotations

import shutil
from pathlib import Path

ENTRY_POINTS = """[pongan.plugins]
tabular-q = pongan_extra.q_config
pixel-gaussian = pongan_extra.gaussian_config:GaussianConfig
least-squares-gan = pongan_extra.lsgan_config
misbehaving = pongan_extra.misbehaving
broken = pongan_extra.broken
duplicate = pongan_extra.duplicate

[pongan.verbs]
last-words = pongan_extra.last_words
silent = pongan_extra.silent
play = pongan_extra.last_words

[pongan.sources]
stripes = pongan_extra.stripes
broken-source = pongan_extra.broken
taken = pongan_extra.taken_source
no-source = pongan_extra.q
gone = pongan_extra.nowhere
"""


def install(site: Path) -> Path:
    """Copy `pongan_extra` to `site` and write its dist-info; returns `site`."""
    shutil.copytree(
        Path(__file__).parent / "pongan_extra", site / "pongan_extra", ignore=shutil.ignore_patterns("__pycache__")
    )
    info = site / "pongan_extra-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pongan-extra\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return site
