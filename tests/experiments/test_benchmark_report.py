"""The writer of results, the committed pages beside their numbers, and speeds measured in turns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from experiments.benchmarks import actor_critic, dqn_speed, generative_speed, interleaved, peers, report
from experiments.benchmarks.report import Page, Part, Report, Table


def layout(measured: dict[str, Any]) -> list[Part]:
    table = Table(["what", "value"], [[name, f"{row['value']}"] for name, row in measured.items()])
    return [table, "A note.", Page("other", ["A page beside it."])]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_committed_pages_are_what_their_numbers_give() -> None:
    numbers = sorted(report.RESULTS.glob("*.json"))
    pages = {page: text for file in numbers for page, text in report.laid_out(file.stem).items()}
    assert {f"{page}.md": text for page, text in pages.items()} == {
        f.name: f.read_text() for f in report.RESULTS.glob("*.md")
    }
    for file in numbers:
        record = report.read(file.stem)
        page = pages[file.stem]
        assert record["notes"] and all(note in page for note in record["notes"])
        assert record["made"] and all(f"`{made['command']}`" in page for made in record["made"])


def test_numbers_pages_and_provenance(results: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["mine", "--only", "a b"])
    made = Report("mine", "name", layout, packages=("numpy", "no-such-package"))
    made.keep({"a|b": {"value": 1}})
    made.write()
    record = json.loads((results / "name.json").read_text())
    (how,) = record.pop("made")
    assert record == {"benchmark": "mine", "notes": ["A note."], "measured": {"a|b": {"value": 1}}}
    assert how["command"] == "python -m mine --only 'a b'" and list(how["versions"]) == ["Python", "numpy"]
    assert how["load"] >= 0 and how["cores"] >= 1
    table, note, provenance = (results / "name.md").read_text().split("\n\n")
    assert table == "| what | value |\n| --- | --- |\n| a\\|b | 1 |" and note == "A note."
    assert provenance.startswith(
        f"{how['machine']}, {how['cores']} cores, load {how['load']:g} before it began, Python 3."
    )
    assert provenance.endswith(f", numpy {how['versions']['numpy']}, {how['date']}: `python -m mine --only 'a b'`.\n")
    assert (results / "other.md").read_text() == f"A page beside it.\n\n{provenance}"
    assert capsys.readouterr().out == (results / "name.md").read_text() + "\n"
    assert sorted(file.name for file in results.iterdir()) == ["name.json", "name.md", "other.md"]


def test_a_stopped_benchmark_goes_on(results: Path) -> None:
    first = Report("mine", "name", layout, words=["--only", "a"], resume=True)
    assert first.lacks("a", {"lr": 1})
    first.keep({"a": {"value": 1, "of": {"lr": 1}}})
    again = Report("mine", "name", layout, words=["--only", "b"], resume=True)
    assert not again.lacks("a", {"lr": 1}) and again.lacks("a", {"lr": 2}) and again.lacks("b", {"lr": 1})
    again.write()  # has measured nothing
    assert [made["command"] for made in report.read("name")["made"]] == ["python -m mine --only a"]
    again.keep({"b": {"value": 2, "of": {"lr": 1}}})
    again.keep({"c": {"value": 3, "of": {"lr": 1}}})
    record = report.read("name")
    assert list(record["measured"]) == ["a", "b", "c"]
    assert [made["command"][-8:] for made in record["made"]] == ["--only a", "--only b"]
    anew = Report("mine", "name", layout, words=[])
    anew.keep({"d": {"value": 4}})
    record = report.read("name")
    assert list(record["measured"]) == ["d"] and [made["command"] for made in record["made"]] == ["python -m mine"]


def test_results_are_laid_out_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Report("experiments.benchmarks.tl", "mine", layout, words=[])
    made.keep({"rounds": 2, "rows": [{"what": "x", "ms": 1.0, "naive_ms": 2.0, "ratio": 2.0}]})
    report.main(["mine"])
    assert "| x | 1.00 | 2.00 | 2.00 |" in (results / "mine.md").read_text()
    assert "median of 2 rounds" in report.read("mine")["notes"][0]
    with pytest.raises(UsageError, match="there is no result 'mien'; did you mean 'mine'"):
        report.main(["mien"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[1", "is damaged"), ("[]", "was not written by experiments.benchmarks.report"), (None, "No such file")],
)
def test_a_file_that_is_no_result(results: Path, text: str | None, sentence: str) -> None:
    results.mkdir()
    if text is not None:
        (results / "name.json").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        report.read("name")


def test_every_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table(["a", "b"], [["1", "2"], ["3"]])


def test_the_mean_is_told_with_its_deviation() -> None:
    assert report.spread([1.0, 2.0, 3.0], ".1f") == "2.0 +- 1.0"
    assert report.spread([2.0], ".2f") == "2.00"


CONTENDER = """
import sys
from pathlib import Path

name, seconds = sys.argv[2], float(sys.argv[4])
with open(Path(__file__).with_name("turns"), "a") as file:
    file.write(name)
if name == "c":
    sys.exit("it broke")
print("chatter")
print(2 * seconds if name == "a" else 3 * seconds)
"""


def test_contenders_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contender.py").write_text(CONTENDER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = {name: [name] for name in "abc"}
    rows = interleaved.interleave("contender", words, 2, 0.5, tolerant=True)
    assert rows == {
        "a": {"seconds": 0.5, "rates": [1.0, 1.0]},
        "b": {"seconds": 0.5, "rates": [1.5, 1.5]},
        "c": {"seconds": 0.5, "failed": "it broke"},
    }
    assert (tmp_path / "turns").read_text() == "abcab"
    assert interleaved.protocol(rows) == "2 interleaved rounds of at least 0.5 s, each in a process of its own"
    with pytest.raises(RuntimeError, match="c failed:\nit broke"):
        interleaved.interleave("contender", words, 1, 0.5)


def test_the_protocol_tells_unequal_rounds() -> None:
    rows = {"a": {"seconds": 5.0, "rates": [1.0]}, "b": {"seconds": 8.0, "rates": [1.0, 2.0]}}
    assert interleaved.protocol(rows) == "1 to 2 interleaved rounds of at least 5 to 8 s, each in a process of its own"
    assert interleaved.protocol({"a": rows["a"]}).startswith("1 interleaved round of at least 5 s")


def test_a_rate_counts_what_turns_return_after_the_warm_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def turn() -> int:
        nonlocal now
        now += 2.0
        return 10

    monkeypatch.setattr(interleaved.time, "perf_counter", lambda: now)
    assert interleaved.per_second(turn, 5.0, warm=4) == 5.0 and now == 8 + 6  # three turns reach five seconds
    now = 0.0
    assert interleaved.per_second(turn, 1.0, warm=0, least=3) == 5.0 and now == 6


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--rounds", "-1"], ["--rounds", "1.5"], ["--seconds", "nan"]])
def test_lengths_are_above_zero(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit):
        interleaved.parser("A speed.", seconds=1, rounds=1).parse_args(words)
    assert words[0] in capsys.readouterr().err


def test_a_missing_peer_is_told_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=r"PyTorch, which is not installed: pip install 'pongan\[peers\]'"):
        peers.need("torch")


@pytest.mark.slow
def test_our_side_is_built_and_measured_by_a_worker(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["actor_critic", "--worker", "cartpole", "float32", "--seconds", "0.2"])
    actor_critic.main()
    assert float(capsys.readouterr().out.splitlines()[-1]) > 100


def test_a_speed_of_some_contenders_has_their_rows() -> None:
    names = ("cartpole ours 8", "cartpole peer 8 dummy", "cartpole peer 8 subproc")
    measured = {
        name: {"seconds": 1.0, "rates": rates}
        for name, rates in zip(names, ([40, 60], [10, 40], [20, 20]), strict=True)
    }
    table = dqn_speed.layout(measured)[0]
    assert isinstance(table, Table)
    assert [row[2:] for row in table.rows] == [
        ["50", "1.75", "", ">= 2"],  # 40 / 20 and 60 / 40
        ["25", "0.75", "", ""],
        ["20", "0.75", "", ""],
    ]


def test_a_contender_that_failed_has_its_reason_in_the_table() -> None:
    rates = {name: {"seconds": 1.0, "rates": [2.0]} for name in ("ours", "torch", "torch-channels-last")}
    peaks = {name: {"seconds": 1.0, "rates": [1e12]} for name in generative_speed.PEAKS}
    failed = {"torch-compile": {"seconds": 1.0, "failed": "no compiler"}}
    measured = {f"{name} float32": row for name, row in (rates | peaks | failed).items()}
    table = generative_speed.layout(measured)[0]
    assert isinstance(table, Table)
    assert table.rows[0][2:4] == ["128.0", "0.500"] and table.rows[1][5] == "1.00"
    assert table.rows[3] == ["PyTorch, compiled", "float32", "failed: no compiler", "", "", ""]
