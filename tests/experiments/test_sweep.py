"""Sweeps: checked before anything starts, made of ordinary runs, unharmed by one that fails, never repeating a finished one."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import yaml

from core.errors import UsageError
from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.flags import flags, known_flags
from experiments.launcher.settings import RunConfig
from experiments.sweeps.plan import Axis, Plan, make_plan, read_record, write_record
from experiments.sweeps.rounds import judge
from experiments.verbs import sweep as verb
from tests.conftest import ROOT
from tests.experiments.test_compare import write_run

TINY = ("--agent.env.id", "pongan/Catch-v0", "--eval.episodes", "2", "--agent.envs", "2")
SHORT = ("--run.until", "300", "--run.eval-every", "100", "--run.log-every", "100", "--run.save-every", "100")
KNOWN = {f"run.{name}": kind for name, kind in flags(RunConfig).items()} | {"agent.lr": float, "agent.batch": int}


def needs_ray(test: Any) -> Any:
    """Mark a test for `make slow`, which installs Ray."""
    here = importlib.util.find_spec("ray") is not None
    return pytest.mark.slow(pytest.mark.skipif(not here, reason="needs the extra ray")(test))


def plan(
    *grid: str,
    name: str = "actor-critic",
    seeds: int = 1,
    draws: int = 0,
    scheduler: str = "none",
    rest=(*TINY, *SHORT),
):
    return make_plan(name, list(rest), list(grid), seeds, draws, scheduler)


def test_a_grid_is_every_combination_with_every_seed() -> None:
    made = plan("agent.optimizer.lr=1e-3,3e-4", "agent.hidden=8 8,16", seeds=2)
    assert list(made.trials) == [f"t{i:03d}" for i in range(1, 9)]
    assert made.trials["t003"] == {"seed": 1, "values": {"agent.optimizer.lr": "1e-3", "agent.hidden": "16"}}
    words = made.words("t002", Path("there"))
    own = ["--agent.optimizer.lr", "1e-3", "--agent.hidden", "8", "8"]
    assert words[-11:] == [*own, "--run.seed", "2", "--run.folder", "there/runs", "--run.tag", "t002"]
    assert yaml.safe_load(yaml.safe_dump(made.trials)) == made.trials


def test_random_draws_lie_in_their_ranges_and_repeat() -> None:
    rng = np.random.default_rng(1)
    lr, batch = (Axis.parse(text, KNOWN) for text in ("agent.lr=1e-5..1e-2:log", "agent.batch=2..9"))
    lrs = np.array([float(lr.draw(rng)) for _ in range(400)])
    assert lrs.min() >= 1e-5 and lrs.max() <= 1e-2 and 0.4 < (lrs < 10**-3.5).mean() < 0.6  # half below the middle
    assert {int(batch.draw(rng)) for _ in range(200)} == set(range(2, 10))
    grid = ("agent.optimizer.lr=1e-5..1e-2:log", "agent.gae_lambda=0.9,1.0")
    made = plan(*grid, draws=6, seeds=2)
    assert len(made.trials) == 12 and made == plan(*grid, draws=6, seeds=2)
    assert {entry["values"]["agent.gae_lambda"] for entry in made.trials.values()} == {"0.9", "1.0"}
    assert made.trials["t001"]["values"] == made.trials["t002"]["values"] != made.trials["t003"]["values"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("agent.lr", "it must read KEY=VALUE,VALUE"),
        ("agent.lr=", "it must read KEY=VALUE,VALUE"),
        ("agent.lrr=1", "did you mean 'agent.lr'?"),
        ("agent.lr=1,,2", "an empty value or one twice"),
        ("agent.lr=1,2,1", "an empty value or one twice"),
        ("run.seed=1,2", "--seeds N sets the seeds"),
        ("agent.lr=3..1", "3 must lie below 1"),
        ("agent.lr=0..1:log", "a logarithmic range begins above 0"),
        ("agent.lr=a..b", "the ends of a range must be numbers"),
        ("run.tag=1..2", "--grid cannot set run.tag"),
        ("run.until=20,40", "--grid cannot set run.until: runs that differ in it alone count as repeats"),
        ("run.precision=1..2", "a range is for numbers"),
    ],
)
def test_a_bad_axis_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Axis.parse(text, KNOWN)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["actor-critc"], "did you mean 'actor-critic'?"),
        (["actor-critic", "--grid", "agent.optimizer.lr=1e-3,fast"], "--grid agent.optimizer.lr=fast: "),
        (["actor-critic", "--grid", "agent.optimizer.lr=1e-3,-1"], "--grid agent.optimizer.lr=-1: "),
        (["actor-critic", "--grid", "agent.optimizer.lr=1..2"], "say how many points to draw with --random N"),
        (
            ["actor-critic", "--grid", "agent.optimizer.lr=1,2", "--grid", "agent.optimizer.lr=3"],
            "--grid names agent.optimizer.lr twice",
        ),
        (
            ["actor-critic", "--grid", "agent.optimizer.lr=1,2", "--agent.optimizer.lr", "3"],
            "set for every run and by --grid",
        ),
        (["actor-critic", "--random", "3"], "name what to vary with --grid"),
        (
            ["actor-critic", "--grid", "agent.optimizer.lr=1,2", "--random", "3"],
            "--random 3 is more than the 2 points that --grid has",
        ),
        (["actor-critic", "--seed", "2"], "no flag '--seed'; did you mean '--seeds'?"),
        (["actor-critic", "--seeds", "0"], "--seeds is 0; it must be a whole number of at least 1"),
        (["actor-critic", "--run.seed", "3"], "a sweep sets --run.seed itself"),
        (["actor-critic", "--asha", "--pbt"], "choose one"),
        (["actor-critic", "--asha", "--run.eval-every", "0"], "--asha compares evaluations along the way"),
        (["actor-critic", "--agent.optimizer.lrr", "3"], "there is no flag '--agent.optimizer.lrr'"),
        (["actor-critic", "--until-sure", "much"], "--until-sure is 'much'; it must be a number, or one with %"),
        (
            ["actor-critic", "--until-sure", "10%", "--seeds", "4"],
            "--seeds is 4; with --until-sure it is the most seeds",
        ),
        (["actor-critic", "--until-sure", "10%", "--seeds", "9", "--asha"], "leave out --asha"),
        (["--resume", "nowhere"], "is no sweep's folder"),
        (["--seeds", "2"], "usage: pongan sweep NAME [flags], or pongan sweep --resume FOLDER"),
    ],
)
def test_a_bad_sweep_starts_nothing(cli, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    code, _, err = cli(
        "sweep", *arguments, *(["--folder", tmp_path / "s"] if "--resume" not in arguments and arguments else [])
    )
    assert code == 2 and sentence in " ".join(err.split()), err
    assert not (tmp_path / "s").exists()


# --- seeds in rounds --------------------------------------------------------------------------------------------------------


def test_verdicts_by_hand() -> None:
    """Three settings, two rounds of three: far apart, equal within what matters, and too noisy to say."""
    steady, equal, noisy = [[100.0, 101.0, 99.0]] * 2, [[100.5, 101.5, 99.5]] * 2, [[20.0, 180.0, 90.0]] * 2
    (verdict,) = judge([steady, [[1.0, 2.0, 3.0]] * 2], "10", 2)
    assert (verdict.what, verdict.rounds, verdict.middle) == ("different", 2, 98.0)
    found = {verdict.settings: verdict for verdict in judge([steady, equal, noisy], "10%", 3)}
    assert {pair: verdict.what for pair, verdict in found.items()} == {(0, 1): "alike", (0, 2): "open", (1, 2): "open"}
    assert found[0, 1].rounds == 1 and found[0, 1].middle == pytest.approx(-0.5)
    half = scipy.stats.t.ppf(0.975, 4) * np.sqrt(2 / 3)
    assert found[0, 1].interval == pytest.approx((-0.5 - half, -0.5 + half))
    (alone,) = judge([steady], "2.5", 3)  # three scores: +- 2.48
    assert (alone.what, alone.rounds, alone.middle) == ("narrow", 1, 100.0)
    (alone,) = judge([steady], "2.4", 3)
    assert (alone.what, alone.rounds) == ("narrow", 2)
    (alone,) = judge([[]], "2", 3)
    assert (alone.what, alone.rounds) == ("open", 0)


def test_seeds_come_in_rounds_until_settings_are_told_apart(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three settings two are alike after a round and told apart from the third after two: their third round is spared."""
    level, asked = {"1e-3": 100.0, "3e-3": 101.0, "1e-4": 10.0}, list[list[str]]()

    def train(made: Plan, folder: Path, todo: list[str], workers: int, _: object) -> None:
        asked.append(list(todo))
        for name in todo:
            entry = made.trials[name]
            lr = entry["values"]["agent.optimizer.lr"]
            score = level[lr] + entry["seed"] % 3
            run = write_run(folder / "runs", entry["seed"], [(100, score)], float(lr), name)
            write_record(folder, name, state="finished", run=str(run.relative_to(folder)))
            if len(asked) == 2 and interrupt:
                return

    monkeypatch.setattr(verb, "_trainer", lambda _: train)
    words = ("actor-critic", *TINY, *SHORT, "--grid", "agent.optimizer.lr=1e-3,3e-3,1e-4", "--folder", tmp_path)
    words = (*words, "--until-sure", "20%", "--seeds", 9, "--round", 3)
    interrupt = False
    code, out, _ = cli("sweep", *words)
    first, second = (
        [f"t{9 * setting + seed:03d}" for setting in range(3) for seed in seeds] for seeds in ((1, 2, 3), (4, 5, 6))
    )
    assert code == 0 and asked == [first, second]
    assert "lr=1e-3 and agent.optimizer.lr=3e-3: no difference that matters after 1 round; difference -1, 95 %" in out
    assert "lr=1e-3 and agent.optimizer.lr=1e-4: told apart after 2 rounds; difference 90, 95 % interval 88.8" in out
    assert "trials   18 finished, 9 spared" in out
    asked.clear()
    interrupt = True
    code, out, _ = cli("sweep", *words)
    assert code == 130 and "go on    pongan sweep --resume" in out
    (folder,) = (place for place in (tmp_path / "actor-critic").iterdir() if str(place) in out)
    interrupt = False
    code, out, _ = cli("sweep", "--resume", folder)
    assert code == 0 and asked == [first, second, second[1:]] and "18 finished, 9 spared" in out


@needs_ray
def test_a_sweep_until_sure_trains(external: Path, tmp_path: Path) -> None:
    """Two step sizes of one game, of which one learns nothing."""
    words = ("actor-critic", *TINY, *SHORT, "--grid", "agent.optimizer.lr=3e-3,1e-9", "--folder", tmp_path)
    done = sweep(*words, "--until-sure", "0.01", "--seeds", 4, "--round", 2)
    assert done.returncode == 0 and "lr=3e-3 and agent.optimizer.lr=1e-9: " in done.said, done.said
    (folder,) = (tmp_path / "actor-critic").iterdir()
    states = [read_record(folder, f"t{trial:03d}")["state"] for trial in range(1, 9)]
    assert states == ["finished"] * 8  # as four seeds a side are too few for alpha / 2 after two


def sweep(*words: object, site: Path | None = None, wait: bool = True, cwd: Path = ROOT) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, [ROOT, site])))}
    command = [sys.executable, "-m", "experiments", "sweep", *map(str, words)]
    process = subprocess.Popen(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if wait:
        process.said = process.communicate(timeout=280)[0]  # type: ignore[attr-defined]
    return process


@needs_ray
def test_a_failure_stays_alone_and_nothing_finished_is_repeated(external: Path, tmp_path: Path) -> None:
    """The external plugin `misbehaving` raises when told to; its neighbour trains on, and going on repeats neither."""
    (tmp_path / "short.yaml").write_text("run: {until: 40, eval_every: 10, log_every: 10}")
    flags = ("--config", "short.yaml", "--folder", tmp_path)  # a path from where the user stands, for trials too
    first = sweep("misbehaving", "--grid", "model.how=raise,fine", *flags, site=external, cwd=tmp_path)
    assert first.returncode == 1, first.said
    (folder,) = (tmp_path / "misbehaving").iterdir()
    assert (
        "1 failed, 1 finished" in first.said
        and "failed   t001 model.how=raise seed 1: plugin 'misbehaving' raised" in first.said
    )
    assert read_record(folder, "t002")["state"] == "finished"
    run = folder / read_record(folder, "t002")["run"]
    stored = StoredRun.of([str(run)])  # an ordinary run folder
    assert (stored.spec.name, stored.config.how, stored.settings.tag, stored.settings.seed) == (
        "misbehaving",
        "fine",
        "t002",
        1,
    )
    assert (
        (run / "results.json").is_file() and (folder / "compare.png").is_file() and (folder / "compare.csv").is_file()
    )
    before = (run / "meta.json").read_text()
    again = sweep("--resume", folder, site=external, cwd=tmp_path)
    assert again.returncode == 1 and "2 trials, 2 of them done" in again.said
    assert (run / "meta.json").read_text() == before


@needs_ray
@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """SIGKILL in the middle: finished trials are left alone, half-finished ones resumed; the curves are the same bit for bit."""
    words = ("actor-critic", *TINY, "--run.until", 40_000, "--run.eval-every", 2_000, "--run.save-every", 2_000)
    words = (*words, "--run.log-every", 2_000, "--run.deterministic", "--seeds", 2)
    words = (*words, "--grid", "agent.optimizer.lr=1e-3,1e-4")
    calm = sweep(*words, "--folder", tmp_path / "calm")
    assert calm.returncode == 0, calm.said
    killed = sweep(*words, "--folder", tmp_path / "killed", "--workers", 2, wait=False)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        runs = list((tmp_path / "killed").glob("actor-critic/*/runs/*/*/*/checkpoints/*0002000"))
        records = [json.loads(p.read_text()) for p in (tmp_path / "killed").glob("actor-critic/*/trials/*.json")]
        if any(r["state"] == "finished" for r in records) and len(runs) >= 3:
            break
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    time.sleep(3)  # its trials notice and save
    (folder,) = (tmp_path / "killed" / "actor-critic").iterdir()
    finished = [t for t in ("t001", "t002", "t003", "t004") if read_record(folder, t).get("state") == "finished"]
    assert 1 <= len(finished) < 4
    stamps = {t: (folder / read_record(folder, t)["run"] / "meta.json").read_text() for t in finished}
    again = sweep("--resume", folder)
    assert again.returncode == 0, again.said
    for trial, text in stamps.items():
        assert (folder / read_record(folder, trial)["run"] / "meta.json").read_text() == text
    (calm_folder,) = (tmp_path / "calm" / "actor-critic").iterdir()
    for trial in ("t001", "t002", "t003", "t004"):
        a, b = (read_scalars(place / read_record(place, trial)["run"]) for place in (calm_folder, folder))
        assert a["eval/return_mean"] == b["eval/return_mean"] and a["loss/policy"] == b["loss/policy"]
        assert len(list(folder.glob(f"runs/*/*/*-{trial}"))) == 1


@needs_ray
@pytest.mark.slow
def test_successive_halving_stops_the_worse(tmp_path: Path) -> None:
    """Step sizes that learn nothing at all end before those that learn; what was stopped stays stopped.

    The first comparison is after 5,000 steps, where the one that learns is ahead; after 1,000 it is not yet.
    """
    words = ("actor-critic", *TINY, "--eval.episodes", 20, "--run.until", 20_000, "--run.eval-every", 5_000)
    words = (*words, "--run.log-every", 1_000, "--asha", "--workers", 2)
    words = (*words, "--grid", "agent.optimizer.lr=3e-3,1e-9,2e-9,3e-9")
    done = sweep(*words, "--folder", tmp_path)
    assert done.returncode == 0, done.said
    (folder,) = (tmp_path / "actor-critic").iterdir()
    states = {trial: read_record(folder, trial)["state"] for trial in ("t001", "t002", "t003", "t004")}
    assert states["t001"] == "finished" and list(states.values()).count("stopped") >= 1, states
    again = sweep("--resume", folder)
    assert again.returncode == 0 and "4 of them done" in again.said


@needs_ray
@pytest.mark.slow
def test_population_based_training_moves_the_bad_to_the_good(tmp_path: Path) -> None:
    """Trials with a step size of almost 0 take over weights and settings of those that learn, under their own names."""
    words = ("actor-critic", *TINY, "--eval.episodes", 20, "--run.until", 20_000, "--run.eval-every", 2_000)
    words = (*words, "--run.save-every", 2_000, "--run.log-every", 1_000)
    words = (*words, "--grid", "agent.optimizer.lr=3e-3,2e-3,1e-9,2e-9")
    done = sweep(*words, "--pbt", "--workers", 4, "--folder", tmp_path)
    assert done.returncode == 0, done.said
    (folder,) = (tmp_path / "actor-critic").iterdir()
    forks = sorted(folder.glob("runs/*/*/*-fork*"))
    assert forks and len(list((folder / "replaced").iterdir())) >= len(forks)
    for run in forks:
        meta, config = json.loads((run / "meta.json").read_text()), yaml.safe_load((run / "config.yaml").read_text())
        trial = config["run"]["tag"]
        assert meta["forked"]["from"] != trial and meta["status"] == "finished"
        assert float(read_record(folder, trial)["values"]["agent.optimizer.lr"]) == config["agent"]["optimizer"]["lr"]
        steps = [step for step, _ in read_scalars(run)["eval/return_mean"]]
        assert steps == sorted(set(steps)) and steps[-1] >= 20_000


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_somebody_else_started(tmp_path: Path) -> None:
    """Trials run on its workers; where none answers, one sentence and nothing trained."""
    ray = str(Path(sys.executable).with_name("ray"))
    with socket.socket() as s:
        s.bind(("localhost", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    words = ("actor-critic", *TINY, *SHORT, "--seeds", 2, "--folder", tmp_path, "--ray-address", address)
    os.environ["RAY_AUTH_MODE"] = "token"
    try:
        head = [ray, "start", "--head", "--num-cpus", "2", "--port", address.partition(":")[2]]
        head += ["--include-dashboard=false", "--disable-usage-stats"]
        subprocess.run(
            head, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # its children keep a pipe
        done = sweep(*words)
        assert done.returncode == 0 and "2 finished" in done.said, done.said
    finally:
        subprocess.run([ray, "stop"], capture_output=True)
        del os.environ["RAY_AUTH_MODE"]
    gone = sweep(*words)
    assert gone.returncode == 2 and f"error: no Ray cluster lets us in at '{address}'" in gone.said, gone.said
    assert len(list(tmp_path.glob("actor-critic/*/runs"))) == 1


# --- Slurm --------------------------------------------------------------------------------------------------------------

SBATCH = """#!/bin/bash
# Stands in for Slurm's: runs the tasks of the array one after the other.
tasks=$(grep -oP "(?<=--array=1-)[0-9]+" "$1")
for i in $(seq 1 "$tasks"); do SLURM_ARRAY_TASK_ID=$i bash "$1" || exit 1; done
echo "Submitted batch job 7"
"""


def with_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(script)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


GIVEN = ("sweep", "actor-critic", "--grid", "agent.optimizer.lr=1e-3,3e-4", "--slurm=--time=1:00:00 --mem=4G")


@pytest.mark.slow
def test_an_array_job_trains_every_trial(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sbatch(tmp_path, monkeypatch, SBATCH)
    code, out, _ = cli(*GIVEN, "--folder", tmp_path / "sweeps", *TINY, *SHORT)
    assert code == 0 and "Submitted batch job 7: 2 trials" in out
    (sweep,) = (tmp_path / "sweeps" / "actor-critic").iterdir()
    runs = sorted(sweep.glob("runs/*/*/*-t00?"))
    assert [StoredRun.of([str(run)]).config.optimizer.lr for run in runs] == [1e-3, 3e-4]
    assert all((run / "results.json").is_file() for run in runs)


def test_the_script_of_an_array_job(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sbatch(tmp_path, monkeypatch, "#!/bin/bash\necho no such partition >&2\nexit 1\n")
    code, _, err = cli(*GIVEN, "--seeds", 2, "--folder", tmp_path / "sweeps", *TINY, *SHORT)
    (script,) = tmp_path.glob("sweeps/*/*/sweep.sbatch")
    assert code == 2 and f"sbatch refused {script}: no such partition" in " ".join(err.split())
    lines = script.read_text().splitlines()
    assert {"#SBATCH --array=1-4", "#SBATCH --time=1:00:00", "#SBATCH --mem=4G"} <= set(lines)
    assert sum("-m experiments.run actor-critic --config" in line for line in lines) == 4
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = cli(*GIVEN, "--folder", tmp_path / "sweeps", *TINY, *SHORT)
    assert code == 2 and "there is no sbatch on this machine; the script is written" in " ".join(err.split())
    code, _, err = cli(*GIVEN, "--pbt")
    assert code == 2 and "--slurm leaves the order to Slurm; leave out --pbt" in " ".join(err.split())


# --- a search -----------------------------------------------------------------------------------------------------------

SEARCH = ("sweep", "actor-critic", "--search", "tpe", "--trials", "6", "--grid", "agent.optimizer.lr=1e-5..1e-1:log")


def needs_optuna(test: Any) -> Any:
    """Mark a test for `make slow`, which installs Optuna."""
    here = importlib.util.find_spec("optuna") is not None
    return pytest.mark.slow(pytest.mark.skipif(not here, reason="needs the extra optuna")(test))


def test_every_plugin_names_ranges_that_its_configuration_takes() -> None:
    for name, spec in catalogue().plugins.items():
        if spec.build.startswith(("agents.", "generative.")):
            axes = [Axis.parse(f"{spec.prefix}.{key}={span}", known_flags(spec)) for key, span in spec.search.items()]
            assert len(axes) >= 2, name
            for end in (0, -1):  # both ends together are a configuration that the plugin takes
                values = {axis.key: axis.values[end] if axis.values else axis.end(end) for axis in axes}
                Experiment.of([name], settings=values)
    made = make_plan("vae", [], [], 1, 3, "tpe")
    assert list(made.trials) == ["t001", "t002", "t003"] and made.axes[0].startswith("model.optimizer.lr=")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--asha",), "--search chooses the trials itself; leave out --asha"),
        (("--seeds", "2"), "a search tries each point with one seed"),
        (("--trials", "0"), "--trials is 0; it must be at least 1"),
        (("--random", "3"), "--trials N says how many, leave out --random"),
        (("--search", "cmaes"), "--search is 'cmaes'"),
    ],
)
def test_what_a_search_does_not_take_is_a_sentence(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = cli(*SEARCH, *words)
    assert code == 2 and sentence in " ".join(err.split()) and not list(tmp_path.iterdir())


@needs_optuna
@pytest.mark.parametrize("search", ["tpe", "nsga2"])
def test_a_killed_search_goes_on(tmp_path: Path, search: str) -> None:
    """The study knows every trial once; the two that were being trained are gone on with, with the settings they had."""
    import optuna

    words = [*SEARCH[:3], search, *SEARCH[4:], "--folder", str(tmp_path), *TINY, *SHORT]
    process = subprocess.Popen([sys.executable, "-m", "experiments", *words], cwd=ROOT)
    while sum(read_record(path.parents[1], path.stem).get("state") == "finished" for path in trials(tmp_path)) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (sweep,) = (tmp_path / "actor-critic").iterdir()
    before = {path.stem: read_record(sweep, path.stem) for path in trials(tmp_path)}
    time.sleep(2)  # its trials hear of it and save
    done = subprocess.run([sys.executable, "-m", "experiments", "sweep", "--resume", str(sweep)], cwd=ROOT, timeout=600)
    assert done.returncode == 0
    after = {path.stem: read_record(sweep, path.stem) for path in trials(tmp_path)}
    assert len(after) == 6 and all(record["state"] == "finished" for record in after.values())
    for name, record in before.items():
        assert (after[name]["values"], after[name]["number"]) == (record["values"], record["number"])
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{sweep / 'optuna.db'}")
    told = {trial.number: trial for trial in study.trials if trial.state.name == "COMPLETE"}
    assert len(told) == 6 == len(study.trials)
    for record in after.values():
        trial = told[record["number"]]
        assert trial.params == {"agent.optimizer.lr": pytest.approx(record["values"]["agent.optimizer.lr"])}
        curve = read_scalars(sweep / record["run"])["eval/return_mean"]
        assert trial.values[0] == pytest.approx(curve[-1][1]) and len(trial.values) == (2 if search == "nsga2" else 1)


def trials(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/trials/*.json"))
