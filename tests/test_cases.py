"""What users of other suites reported, tried here: `tests/cases` builds every input, runs the suite and judges what comes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("cases", ["rl_cases", "generative_cases"])
def test_reported_troubles_are_none_here(cases: str) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "cases" / f"{cases}.py")]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=3600)
    (ok, short) = re.findall(r"(\d+) ok, (\d+) fall short", done.stdout.lower())[-1]
    assert short == "0" and int(ok) > 30, done.stdout[-4000:] + done.stderr[-2000:]
