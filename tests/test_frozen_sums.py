"""A move of code changes no bit of what the plugins compute; see tests/frozen_sums.py, which goes together with this test."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.frozen_sums import key, recorded


def test_every_plugin_computes_what_it_did() -> None:
    expected = recorded()
    if not expected:
        pytest.skip(
            f"no sums are recorded for {key()}; python -m tests.frozen_sums --renew records those of this machine"
        )
    command = [sys.executable, "-m", "tests.frozen_sums", *expected]
    done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    sums = json.loads(done.stdout)
    others = [name for name, total in expected.items() if sums[name] != total]
    assert not others, (
        f"{', '.join(others)}: other numbers than recorded. A move changes no bit; if they are meant to change, say why in the "
        f"commit and run python -m tests.frozen_sums --renew {' '.join(others)}"
    )
