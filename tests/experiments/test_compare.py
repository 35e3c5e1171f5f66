from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from experiments.launcher.events import EventFile, read_scalars
from experiments.launcher.folder import RunFolder
from experiments.launcher.verbs import verbs
from experiments.runs import find_runs, grouped, read_run
from experiments.statistics import area, bootstrap_interval, interquartile_mean


def write_run(
    root: Path,
    seed: int,
    curve: list[tuple[int, float]],
    lr: float = 0.1,
    name: str = "run",
    until: int = 100,
    started: str = "",
    task: str = "CartPole-v1",
) -> Path:
    """A run folder of `actor-critic` as the launcher leaves it, with one curve."""
    path = root / "actor-critic" / "CartPole-v1" / f"{name}-s{seed}"
    path.mkdir(parents=True)
    config = {"experiment": "actor-critic", "preset": None, "agent": {"lr": lr, "env": {"id": task}}}
    (path / "config.yaml").write_text(
        yaml.safe_dump(config | {"run": {"seed": seed, "until": until, "folder": str(root)}})
    )
    (path / "meta.json").write_text(json.dumps({"status": "finished", "started": started}))
    events = EventFile(path / "events.out.tfevents.1.host")
    for step, value in curve:
        events.scalars({"eval/return_mean": value, "time/elapsed": step / 50}, step)
    events.length()
    return path


def test_interquartile_mean_by_hand() -> None:
    """Four of four: one is left out at either end; of five, too (a quarter rounded down); of three none."""
    assert interquartile_mean([10, 0, 4, 2]) == 3
    assert interquartile_mean([100, 1, 2, 3, -50]) == 2
    assert interquartile_mean([0, 3, 9]) == 4


def test_bootstrap_interval_of_two_scores_is_exact() -> None:
    """Resamples of {0, 1} have means 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4, so the 95 % interval is [0, 1]."""
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([3.0]) is None
    assert bootstrap_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_bootstrap_interval_is_that_of_the_normal_for_many_scores() -> None:
    scores = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(list(scores)) or (0, 0)
    half = 1.96 * scores.std() / np.sqrt(400)
    np.testing.assert_allclose([low, high], [scores.mean() - half, scores.mean() + half], atol=0.02)


def test_area_by_hand() -> None:
    assert area([0, 1, 3], [0.0, 2.0, 2.0]) == pytest.approx((1 + 4) / 3)
    assert area([7], [2.5]) == 2.5


def test_runs_are_grouped_by_configuration_and_seeds_do_not_count(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path, seed, [(50, 1.0), (100, seed)], until=seed * 100)  # how long it ran is no configuration
    write_run(tmp_path, 1, [(50, 9.0), (100, 7.0)], lr=0.2, name="other")
    runs = [read_run(path, "eval/return_mean") for path in find_runs([str(tmp_path)])]
    first, second = sorted(
        grouped([run for run in runs if run], "eval/return_mean"), key=lambda group: -len(group.runs)
    )
    assert first.differing == {"agent.lr": 0.1} and second.differing == {"agent.lr": 0.2}
    row = first.row()
    assert (row["seeds"], row["last mean"], row["last low"], row["last high"], row["clock"]) == (2, 1.5, 1.0, 2.0, 100)
    assert row["area mean"] == pytest.approx((1.0 + 1.5) / 2) and row["steps/s"] == 50 and row["minutes"] == 2 / 60
    assert second.best() == [9.0] and second.row()["last low"] is None


def test_compare_prints_draws_and_writes(cli, tmp_path: Path) -> None:
    for seed, last in ((1, 10.0), (2, 20.0)):
        write_run(tmp_path, seed, [(50, 1.0), (100, last)])
    files = {name: tmp_path / f"out.{name}" for name in ("csv", "html", "png")}
    code, out, _ = cli(
        *("compare", tmp_path, "--csv", files["csv"], "--html", files["html"], "--plot", files["png"]),
    )
    assert code == 0 and "15 [10, 20]" in out and "eval/return_mean of 2 runs" in out
    (row,) = csv.DictReader(files["csv"].open())
    assert float(row["last mean"]) == 15 and float(row["last iqm"]) == 15 and row["seeds"] == "2"
    assert files["png"].read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png;base64" in files["html"].read_text() and "15 [10, 20]" in files["html"].read_text()


def test_a_seed_that_was_run_twice_counts_once_and_unequal_clocks_are_said(cli, tmp_path: Path) -> None:
    write_run(tmp_path, 1, [(50, 1.0), (100, 9.0)], name="z-old", started="2026-01-02T03:04:05")
    write_run(tmp_path, 1, [(50, 1.0), (100, 3.0)], name="a-new", started="2026-02-02T03:04:05")
    write_run(tmp_path, 2, [(50, 1.0), (100, 5.0)], started="2026-01-01T03:04:05")
    code, out, _ = cli("compare", tmp_path, "--plot", tmp_path / "c.png", "--html", tmp_path / "c.html")
    assert code == 0 and "of 2 runs" in out and "4 [3, 5]" in out, out
    assert "left out: 1 of 3 runs" in " ".join(out.split()) and "different clocks" not in out
    assert "left out: 1 of 3 runs" in (tmp_path / "c.html").read_text()
    write_run(tmp_path, 1, [(20, 0.0)], name="begun", started="2026-03-02T03:04:05")
    _, out, _ = cli("compare", tmp_path, "--plot", tmp_path / "c.png")
    assert "4 [3, 5]" in out  # what has come less far takes no finished run's place
    write_run(tmp_path, 3, [(50, 4.0)])
    _, out, _ = cli("compare", tmp_path, "--plot", tmp_path / "c.png")
    assert "A: its runs have come to different clocks, 50 to 100" in " ".join(out.split())


def test_ends_of_updates_are_no_different_clocks(cli, tmp_path: Path) -> None:
    for seed, clock in ((1, 6_056), (2, 6_072)):
        write_run(tmp_path, seed, [(clock, 1.0)])
    _, out, _ = cli("compare", tmp_path, "--plot", tmp_path / "c.png")
    assert "of 2 runs" in out and "different clocks" not in out


def test_speed_is_that_of_the_last_time_written_whatever_the_metric(tmp_path: Path) -> None:
    run = write_run(tmp_path, 1, [(50, 1.0)])
    with_events = EventFile(next(run.glob("events.*")))
    with_events.scalars({"time/elapsed": 4.0}, 200)
    with_events.length()
    (group,) = grouped([read for read in [read_run(run, "eval/return_mean")] if read], "eval/return_mean")
    assert group.row()["steps/s"] == 50 and group.row()["minutes"] == pytest.approx(4 / 60)


def test_a_run_too_short_for_a_log_line_has_the_time_of_its_results(tmp_path: Path) -> None:
    run = write_run(tmp_path, 1, [(0, 1.0)])
    (run / "results.json").write_text(json.dumps({"clock": {"value": 60}, "wall_clock_seconds": 3.0}))
    (group,) = grouped([read for read in [read_run(run, "eval/return_mean")] if read], "eval/return_mean")
    assert group.row()["steps/s"] == 20 and group.row()["minutes"] == pytest.approx(0.05)


def test_a_metric_that_is_no_headline_has_no_best(cli, tmp_path: Path) -> None:
    run = write_run(tmp_path, 1, [(50, 1.0), (100, 2.0)])
    (group,) = grouped([read for read in [read_run(run, "time/elapsed")] if read], "time/elapsed")
    assert group.best() == [] and group.row()["best mean"] is None
    code, out, _ = cli("compare", tmp_path, "--metric", "time/elapsed", "--plot", tmp_path / "c.png")
    assert code == 0 and "time/elapsed of 1 runs" in out


def test_csv_and_html_need_no_name(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", 1, [(50, 1.0)])
    assert cli("compare", "--csv", "runs", "--html")[0] == 0
    assert (tmp_path / "compare.csv").is_file() and (tmp_path / "compare.html").is_file()


def test_what_a_sweep_put_aside_is_not_compared(tmp_path: Path) -> None:
    kept = write_run(tmp_path / "sweep" / "runs", 1, [(50, 1.0)])
    for aside in ("replaced", "ray"):
        write_run(tmp_path / "sweep" / aside, 1, [(50, 1.0)])
    assert find_runs([str(tmp_path)]) == [kept]
    assert len(find_runs([str(tmp_path / "sweep" / "replaced")])) == 1  # asked for by name


def test_a_run_that_is_still_writing_is_read_up_to_its_last_whole_record(tmp_path: Path) -> None:
    run = write_run(tmp_path, 1, [(50, 1.0), (100, 2.0)])
    (file,) = run.glob("events.*")
    file.write_bytes(file.read_bytes()[:-5])
    assert read_scalars(run)["eval/return_mean"] == [(50, 1.0)]


def test_a_run_without_points_is_left_out_and_named(cli, tmp_path: Path) -> None:
    write_run(tmp_path, 1, [(50, 1.0)])
    write_run(tmp_path, 2, [])
    code, out, err = cli("compare", tmp_path, "--plot", tmp_path / "c.png")
    assert code == 0 and "of 1 runs" in out and "left out" in err and "run-s2" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "there is no folder 'nowhere'"),
        (["."], "has no run below it"),
        (["--metrik", "x"], "no flag '--metrik'; did you mean '--metric'"),
        (["runs", "--metric", "eval/retrun"], "none of these runs has a point of 'eval/retrun'"),
        (["runs", "--csv", "no/such/folder.csv"], "cannot be written"),
        (["runs", "--plot", "runs"], "'runs' cannot be written: it must be a file in a folder that exists"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if "runs" in arguments:
        write_run(tmp_path / "runs", 1, [(50, 1.0)])
    code, _, err = cli("compare", *arguments)
    assert code == 2 and sentence in err and not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("meta.json", "{", "meta.json is damaged"),
        ("meta.json", "[1]", "meta.json is damaged: it must hold names and values"),
        ("config.yaml", "experiment: actor-critic\nrun: 3\n", "no settings under `run`"),
        (
            "config.yaml",
            "experiment: gone\n",
            "unknown, since 'gone' is not installed (gone); choose one with --metric",
        ),
    ],
)
def test_a_damaged_run_gets_a_sentence(cli, tmp_path: Path, file: str, text: str, sentence: str) -> None:
    (write_run(tmp_path, 1, [(50, 1.0)]) / file).write_text(text)
    code, _, err = cli("compare", tmp_path, "--plot", tmp_path / "c.png")
    assert code == 2 and sentence in " ".join(err.split())


@pytest.mark.parametrize("verb", [verb for verb in verbs() if verb != "run"])
def test_every_verb_says_how_it_is_used(cli, verb: str) -> None:
    code, out, _ = cli(verb, "--help")
    assert code == 0 and out.startswith(f"usage: pongan {verb}") and len(out.splitlines()) > 3


def test_a_run_that_nobody_trains_any_more_was_killed(tmp_path: Path) -> None:
    folder = RunFolder.create(str(tmp_path), "dqn", "CartPole-v1", 1, "")
    (folder.path / "meta.json").write_text('{"status": "running"}')
    assert RunFolder.status(folder.path) == "running"  # its lock is held
    folder._lock.close()
    assert RunFolder.status(folder.path) == "killed"
    (folder.path / "meta.json").write_text('{"status": "failed: no memory"}')
    assert RunFolder.status(folder.path) == "failed"
