from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.rl.evaluate import evaluate
from core.plugin import REGISTRY, Context, Spec, build
from experiments.testing import check_contract
from experiments.verbs import new as scaffold
from tests.processes import ROOT, Fork


def assert_runs(at: Path, *argv: object, code: str = "") -> str:
    """Give `argv` to the launcher, or execute `code`, in a process in the folder `at`; return what it printed."""
    process = Fork(*argv, code=code, cwd=at, path=at)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    return out


def assert_its_test_passes(at: Path, name: str) -> str:
    return assert_runs(at, code=f"import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:xdist', {name!r}]))")


def assert_lints(at: Path, *what: object) -> None:
    """The order of imports depends on where pongan lies; everything else must please the linter as it is."""
    command = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", *what]
    linted = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=60)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("kind", ["agent", "generative"])
def test_a_new_package_is_found_trained_and_passes_its_own_test(cli, tmp_path: Path, kind: str) -> None:
    code, out, err = cli("new", kind, "Bright_idea", "--package", tmp_path)
    assert code == 0 and "python -m experiments.run bright-idea" in out, err
    info = tmp_path / "bright_idea-0.1.dist-info"  # what an installer would leave
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-idea\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[pongan.plugins]\nbright-idea = bright_idea.config\n")
    flags = ("--run.until", 200, "--run.log-every", 50, "--run.eval-every", 0, "--run.folder", tmp_path / "runs")
    assert_runs(tmp_path, "run", "bright-idea", *flags)
    (results,) = tmp_path.glob("runs/bright-idea/*/*/results.json")
    assert '"experiment": "bright-idea"' in results.read_text()
    assert_its_test_passes(tmp_path, "test_bright_idea.py")
    assert_lints(tmp_path, "--ignore", "I001", "bright_idea")
    assert "my_package" not in "".join(path.read_text() for path in tmp_path.glob("bright_idea/*.py"))


@pytest.fixture
def new_agent(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spec]:
    assert cli("new", "agent", "scaffolded", "--package", tmp_path)[0] == 0
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("scaffolded.config")
    yield REGISTRY["scaffolded"]
    del REGISTRY["scaffolded"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "scaffolded"]:
        del sys.modules[name]


def test_a_new_agent_is_short_and_keeps_the_contract(new_agent: Spec, tmp_path: Path) -> None:
    """Sentences and blank lines do not count."""
    code = 0
    for name in ("config.py", "agent.py"):
        text = (tmp_path / "scaffolded" / name).read_text()
        sentences: set[int] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                sentences |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        lines = enumerate(text.splitlines(), 1)
        code += sum(bool(line.split("#")[0].strip()) and number not in sentences for number, line in lines)
    assert 0 < code <= 120
    check_contract(new_agent, tmp_path)


@pytest.mark.slow
def test_a_new_agent_solves_cartpole(new_agent: Spec, tmp_path: Path) -> None:
    agent = build(new_agent, new_agent.config(), Context(seed=1, folder=tmp_path))
    while agent.clock < new_agent.run["until"]:
        agent.step()
    assert evaluate(agent, 20, 1)["eval/return_mean"] >= 475
    agent.close()


def test_a_new_source_is_found_learned_from_and_passes_its_own_test(cli, tmp_path: Path) -> None:
    code, out, err = cli("new", "source", "Bright_discs", "--package", tmp_path)
    assert code == 0 and "python -m experiments.run dcgan --model.data.source bright-discs" in out, err
    assert (
        'entry-points."pongan.sources"]\nbright-discs = "bright_discs.source"'
        in (tmp_path / "pyproject.toml").read_text()
    )
    info = tmp_path / "bright_discs-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-discs\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[pongan.sources]\nbright-discs = bright_discs.source\n")
    small = ("--model.batch", 4, "--model.width", 2, "--model.eval-samples", 12, "--run.until", 2)
    flags = ("--model.data.source", "bright-discs", *small, "--run.folder", tmp_path / "runs")
    assert_runs(tmp_path, "run", "dcgan", *flags)
    (results,) = tmp_path.glob("runs/dcgan/bright-discs/*/results.json")
    assert "500 grey images 16x16 of 500 discs" in results.read_text()
    assert "2 passed" in assert_its_test_passes(tmp_path, "test_bright_discs.py")
    assert_lints(tmp_path, "--ignore", "I001", "bright_discs")


def test_inside_the_repository_it_goes_where_the_others_are(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(scaffold, "REPOSITORY", tmp_path)
    assert cli("new", "generative", "tiny-gan")[0] == 0 and cli("new", "agent", "bright-idea")[0] == 0
    assert cli("new", "source", "bright-discs")[0] == 0
    ours = "lint.isort.known-first-party = ['core', 'envs', 'agents', 'generative', 'experiments']"
    assert_lints(tmp_path, "--config", ours, ".")
    assert 'build="generative.tiny_gan.model:TinyGan"' in (tmp_path / "generative/tiny_gan/config.py").read_text()
    assert "import generative.tiny_gan.config" in (tmp_path / "tests/generative/test_tiny_gan.py").read_text()
    assert '@source("bright-discs", ' in (tmp_path / "generative/data/built_in/bright_discs.py").read_text()
    its_test = (tmp_path / "tests/generative/test_bright_discs.py").read_text()
    assert "import generative.data.built_in.bright_discs  # noqa" in its_test
    before = (tmp_path / "generative/tiny_gan/model.py").read_text()
    code, _, err = cli("new", "generative", "tiny-gan")
    assert code == 2 and "`new` overwrites nothing" in err
    assert (tmp_path / "generative/tiny_gan/model.py").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["agnet", "x"], "did you mean 'agent'?"),
        (["agent"], "Missing from pongan new: NAME"),
        (["agent", "2fast"], "must be letters, digits and single hyphens"),
        (["agent", "a/b"], "must be letters, digits and single hyphens"),
        (["agent", "Actor_Critic"], "the name 'actor-critic' is already taken"),
        (["agent", "xyz", "--package", "/proc/nowhere"], "cannot be written"),
        (["generative", "adversarial"], "adversarial' exists already"),
        (["agent", "rl"], "rl' exists already"),
        (["source", "mixtures"], "mixtures.py' exists already"),
        (["source", "2fast"], "data source name '2fast' must be"),
        (["source", "Folder"], "the name 'folder' is already taken"),
        (["sauce", "x"], "did you mean 'source'?"),
        (["agent", "class"], "is a word of Python's own"),
        (["agent", "numpy", "--package", "/proc/nowhere"], "there is a Python package 'numpy' already"),
        (["generative", "core", "--package", "/proc/nowhere"], "there is a Python package 'core' already"),
    ],
)
def test_what_cannot_be_made_gets_a_sentence(cli, arguments: list[str], sentence: str) -> None:
    code, _, err = cli("new", *arguments)
    assert code == 2 and sentence in err
