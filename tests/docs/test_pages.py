"""The code of the documentation runs as it stands, and the site builds without a warning."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import plugin
from core.errors import UsageError
from experiments.benchmarks import report
from experiments.benchmarks.plan import Measurement
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
from experiments.launcher.verbs import verbs
from experiments.testing import check_contract
from generative.data import registry
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [path for pattern in ("*.md", "docs/*.md", "agents/*/*.md", "generative/*/*.md") for path in ROOT.glob(pattern)]
COMMAND = re.compile(r"^(?:    |\$ )((?:python -m experiments|pongan)[. ].*)$", re.MULTILINE)
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return (language, title, text) of every block of code of a page."""
    return FENCE.findall((DOCS / page).read_text())


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugin of write-a-plugin.md, written as its blocks say and installed."""
    catalogue()  # what is there before
    for _, title, text in blocks("write-a-plugin.md"):
        if title:
            (tmp_path / title).parent.mkdir(exist_ok=True)
            (tmp_path / title).write_text(text)
    (tmp_path / "hill_climb" / "__init__.py").touch()
    info = tmp_path / "hill_climb-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hill-climb\nVersion: 0.1\n")
    points = re.search(r"hill-climb = \"(.*)\"", (tmp_path / "pyproject.toml").read_text())
    assert points is not None
    (info / "entry_points.txt").write_text(f"[pongan.plugins]\nhill-climb = {points[1]}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(plugin.REGISTRY)
    catalogue.cache_clear()
    yield tmp_path
    plugin.REGISTRY.clear()
    plugin.REGISTRY.update(before)
    for name in [m for m in sys.modules if m.split(".")[0] == "hill_climb"]:
        del sys.modules[name]
    catalogue.cache_clear()


def test_the_plugin_of_the_guide_keeps_the_contract_and_does_what_is_shown(written: Path, cli) -> None:
    check_contract(catalogue().plugins["hill-climb"], written)
    code, _, err = cli("run", "hill-climb", "--agent.sigma", 0)
    assert code == 2 and "sigma is 0; it must be above 0" in err
    shown = [text for language, title, text in blocks("write-a-plugin.md") if language == "python" and ">>>" in text]
    (session,) = shown
    parsed = doctest.DocTestParser().get_doctest(session, {}, "write-a-plugin.md", None, 0)
    assert doctest.DocTestRunner().run(parsed).failed == 0


def test_the_plugin_of_the_guide_exports(written: Path, cli, tmp_path: Path) -> None:
    flags = ("--run.until", 2000, "--eval.episodes", 2, "--run.folder", tmp_path / "runs")
    assert cli("run", "hill-climb", *flags)[0] == 0
    (config,) = (tmp_path / "runs").rglob("config.yaml")
    code, out, err = cli("export", config.parent, "-o", tmp_path / "exported")
    assert code == 0 and "act: observation [any, 4] float32 -> action [any] int64" in out, err


def test_the_benchmark_of_the_page_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, title, text),) = (block for block in blocks("benchmarks.md") if block[1])
    (tmp_path / Path(title).name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["products", "--seconds", "0.05", "--rounds", "2"])
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    importlib.import_module("products").main()
    del sys.modules["products"]
    page = (tmp_path / "results" / "products.md").read_text()
    assert "| float64 | " in page and " | 1.00 |" in page
    assert (
        "2 interleaved rounds of at least 0.05 s" in page and "`python -m products --seconds 0.05 --rounds 2`" in page
    )


def test_the_block_of_the_page_has_all_keys() -> None:
    table = re.findall(r"^\| `(\w+)` \|", (DOCS / "benchmarks.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(field.name for field in dataclasses.fields(Measurement))


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data source of write-a-source.md, written as its blocks say and installed."""
    registry.all_sources()  # what is there before
    for _, title, text in blocks("write-a-source.md"):
        if title:
            (tmp_path / title).write_text(text)
    info = tmp_path / "letters-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 0.1\n")
    points = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["entry-points"][registry.ENTRY_POINTS]
    (info / "entry_points.txt").write_text(
        "\n".join([f"[{registry.ENTRY_POINTS}]", *(f"{name} = {module}" for name, module in points.items())])
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(registry.SOURCES)
    registry.load_outside.cache_clear()
    yield tmp_path
    registry.SOURCES.clear()
    registry.SOURCES.update(before)
    sys.modules.pop("letters", None)
    registry.load_outside.cache_clear()


def test_the_source_of_the_guide_is_found_and_learned_from(letters: Path, cli) -> None:
    code, out, err = cli("list")
    assert code == 0 and "2,000 capital letters" in " ".join(out.split()), err
    small = ["--model.batch", "4", "--model.width", "2", "--model.eval-samples", "12", "--run.until", "1"]
    code, _, err = cli("run", "dcgan", "--model.data.source", "letters", *small, "--run.folder", letters / "runs")
    assert code == 0, err
    (session,) = [text for _, _, text in blocks("write-a-source.md") if ">>>" in text]
    parsed = doctest.DocTestParser().get_doctest(session, {}, "write-a-source.md", None, 0)
    assert doctest.DocTestRunner().run(parsed).failed == 0


class _Floats(doctest.OutputChecker):
    """Takes any other number of the same shape for a floating-point one, whose digits are the processor's."""

    def check_output(self, want: str, got: str, flags: int) -> bool:
        want, got = (" ".join(re.sub(r"\d+\.\d*", "0.0", text).split()) for text in (want, got))
        return super().check_output(re.sub(r"\s*([\],])", r"\1", want), re.sub(r"\s*([\],])", r"\1", got), flags)


@pytest.mark.slow
def test_the_session_from_python_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = "\n".join(text for _, _, text in blocks("python.md") if ">>>" in text)
    parsed = doctest.DocTestParser().get_doctest(session, {}, "python.md", None, 0)
    assert len(parsed.examples) >= 20
    assert doctest.DocTestRunner(_Floats()).run(parsed).failed == 0


def test_other_python_blocks_compile() -> None:
    compiled = [
        compile(text, f"{page.name} {title}", "exec")
        for page in sorted(DOCS.glob("*.md"))
        for language, title, text in blocks(page.name)
        if language == "python" and ">>>" not in text
    ]
    assert len(compiled) >= 2 and all(code.co_code for code in compiled)


def test_every_verb_is_documented() -> None:
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    for verb in verbs().values():
        assert verb.source or re.search(rf"(pongan |experiments\.){verb.name}\b", text), verb


def commands() -> list[tuple[str, list[str]]]:
    """Return (page, words) of every command that a page shows in an indented block or a session of the console."""
    found = []
    for page in PAGES:
        for line in COMMAND.findall(page.read_text()):
            found.append((page.relative_to(ROOT).as_posix(), shlex.split(line, comments=True)))
    return found


def test_every_command_has_its_one_spelling() -> None:
    """Training is `python -m experiments.run`, another verb `pongan <verb>`, a benchmark a module."""
    for page, words in commands():
        if words[0] == "pongan":
            assert words[1] in verbs() and words[1] != "run", (page, words)
        else:
            assert words[2].startswith(("experiments.run", "experiments.benchmarks.")), (page, words)


def test_trainings_of_the_pages_have_flags_that_there_are() -> None:
    trained = [(page, words[3:]) for page, words in commands() if words[2:3] == ["experiments.run"]]
    own = {"hill-climb", "bright-idea", "letters"}  # what the reader writes
    told = [(page, [word for word in words if word != "--help"]) for page, words in trained if not own & {*words}]
    for page, words in told:
        try:
            Experiment.of(words)
        except UsageError as error:
            pytest.fail(f"{page}: {' '.join(words)}: {error}")
    assert len(told) >= 40


def test_the_numbers_of_the_readme_are_those_of_the_results() -> None:
    def rows(page: Path) -> dict[str, list[str]]:
        lines = re.findall(r"^\| \[?`([\w-]+)`(?:\]\(.*?\))? \| (.*) \|$", page.read_text(), re.MULTILINE)
        return {name: cells.split(" | ") for name, cells in lines}

    results, compared = rows(DOCS / "results.md"), 0
    for name, (_, said, minutes) in rows(ROOT / "README.md").items():
        if name in results:  # a mean of returns, or a Fréchet distance and its range
            measured = results[name][2] if "return" in said else results[name][1].split()[0]
            assert f" {measured}" in said and minutes == results[name][-1], name
            compared += 1
    assert compared == 4


def test_links_of_the_pages_lead_somewhere() -> None:
    """Like the strict build, where mkdocs is not installed: every relative link is a file."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", page.read_text())):
            assert ":" in link or (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs-material, of the extra dev")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Deep Q-learning" in (tmp_path / "agents" / "dqn" / "index.html").read_text()
