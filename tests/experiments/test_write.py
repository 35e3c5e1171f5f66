"""The verb `write`: texts that go on from a prompt, in a file or on the screen, without the text that was learned from."""

from __future__ import annotations

from pathlib import Path

from experiments import load
from experiments.verbs.write import RULE
from tests.conftest import only_run

TINY = "--model.units 6 --model.embedding 3 --model.batch 3 --model.steps 4 --model.turn 1 --model.order 2 --model.samples 2"


def learned(cli, folder: Path) -> Path:
    (folder / "a.txt").write_text(
        "\n\n".join(f"the red one and the blue one ({i}), which follow each other" for i in range(40))
    )
    words = ["--model.data.source", f"text:{folder / 'a.txt'}", *TINY.split(), "--model.sample-length", "20"]
    code, _, err = cli("run", "char-rnn", *words, "--run.until", 2, "--run.folder", folder / "runs")
    assert code == 0, err
    return only_run(folder / "runs")


def test_texts_with_and_without_what_was_learned_from(cli, tmp_path: Path) -> None:
    run = learned(cli, tmp_path)
    asked = ("write", run, "--prompt", "the ", "--n", 2, "--length", 12)
    code, out, err = cli(*asked)
    texts = out.removesuffix("\n").split(RULE)
    assert (
        code == 0 and [text[:4] for text in texts] == ["the ", "the "] and [len(text) for text in texts] == [16, 16]
    ), err
    assert cli(*asked, "--seed", 1)[1] != out

    (tmp_path / "a.txt").unlink()
    code, said, err = cli(*asked, "-o", tmp_path / "written.txt")
    assert code == 0 and f"2 texts of checkpoint best-000000000002: {tmp_path / 'written.txt'}" in said, err
    assert (tmp_path / "written.txt").read_text() == out
    assert load(run).write("the ", 1, 12) == [texts[0][4:]]
    code, _, err = cli("resume", run, "--run.until", 4)
    assert code == 2 and "which is not there" in " ".join(err.split())
    for words, sentence in (
        (("--n", 0), "--n is 0; it must be a whole number of at least 1"),
        (("--length", 0), "--length is 0; it must be"),
        (("--temperature", -1), "--temperature is -1.0; it must be a number of at least 0"),
        (("--temperature", "nan"), "--temperature is nan; it must be a number of at least 0"),
        (("--top-k", -1), "--top-k is -1; it must be 0 (all) or more"),
        (("--seed", -1), "--seed is -1"),
        (("--prompt", "Ä"), "the prompt has 'Ä', which the text that was learned from has fewer than 10 times"),
        (("-o", tmp_path / "no" / "a"), "it must be a file in a folder that exists"),
        (("--promt", "a"), "no flag '--promt'; did you mean '--prompt'?"),
    ):
        code, _, err = cli("write", run, *words)
        assert code == 2 and sentence in " ".join(err.split()), (words, err)


def test_a_model_of_pictures_writes_nothing(external: Path, cli, tmp_path: Path) -> None:
    assert cli("run", "pixel-gaussian", "--model.batch", 4, "--run.folder", tmp_path / "runs")[0] == 0
    code, _, err = cli("write", only_run(tmp_path / "runs"))
    assert code == 2 and "pixel-gaussian writes no text; `pongan sample` draws" in " ".join(err.split())
