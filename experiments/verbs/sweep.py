"""Many settings and seeds of an experiment, trained side by side."""

from __future__ import annotations

import dataclasses
import importlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from core.disk import write_atomically
from core.errors import UsageError, require
from experiments.comparison import report
from experiments.launcher.experiment import Experiment
from experiments.launcher.flags import Bare
from experiments.statistics import effect_in
from experiments.sweeps.plan import (
    SEARCHES,
    Plan,
    counted,
    locked,
    make_plan,
    new_folder,
    read_plan,
    read_record,
    write_record,
)

if TYPE_CHECKING:
    from experiments.sweeps.rounds import Verdict

__all__ = ["Flags", "main"]

AT_ONCE, OF_A_CLUSTER = 2, 10_000  # workers where none are named: on this machine, and as many as a cluster has cores


@dataclass(frozen=True)
class Flags:
    """Train many settings and seeds of an experiment side by side and compare them; needs Ray Tune, the extra pongan[ray], or
    with --search Optuna, pongan[optuna].

    pongan sweep dqn-cartpole --seeds 3 --grid agent.optimizer.lr=1e-3,3e-4 --workers 2

    pongan sweep dqn-cartpole --until-sure 10% --seeds 20 --grid agent.optimizer.lr=1e-3,3e-4

    pongan sweep dqn-cartpole --search tpe --trials 20 --grid agent.optimizer.lr=1e-5..1e-2:log

    pongan sweep --resume sweeps/dqn-cartpole/DATE-TIME
    """

    seeds: int = 1
    """Seeds 1 to N of every setting."""
    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values, KEY=A,B, or a range to draw from, KEY=LOW..HIGH or KEY=LOW..HIGH:log; may be given repeatedly."""
    random: int = 0
    """Points to draw from the grid; 0 for all of them."""
    until_sure: str = ""
    """Add seeds in rounds until every pair of settings is told apart, or differs by less than this, in units of the headline or
    with % a share of the mean; --seeds says how many at most. With one setting: until its mean is known as closely."""
    round: int = 5
    """With --until-sure: seeds of each setting in a round."""
    workers: int = 0
    """Trials at a time; 0 for two, or for as many as the cluster has cores."""
    asha: bool = False
    """Stop trials early that are worse than others at the same clock (asynchronous successive halving)."""
    pbt: bool = False
    """Population-based training: bad trials go on from good ones, with changed settings."""
    search: Literal["none", "tpe", "nsga2"] = "none"
    """Let Optuna choose what each trial tries: tpe by the headline metric, nsga2 by it and by the minutes. Without --grid in the
    ranges that the plugin names."""
    trials: int = 20
    """With --search: trials in all."""
    storage: str = ""
    """With --search: the URL of a database for Optuna's study; by default a file in the sweep's folder."""
    slurm: Annotated[str, Bare("--nodes=1")] = ""
    """Submit the trials as an array job to Slurm, with these options of sbatch: --slurm="--time=2:00:00 --cpus-per-task=4"."""
    ray_address: str = ""
    """A Ray cluster's address; empty for this machine alone."""
    folder: str = "sweeps"
    """Root folder; the sweep's own is made inside it."""
    resume: str = ""
    """Go on with the sweep in this folder, in place of NAME."""
    retry: bool = False
    """With --resume: train failed trials again."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, f"--seeds is {self.seeds}; it must be a whole number of at least 1")
        require(self.random >= 0, f"--random is {self.random}; it must be 0 (all points) or more")
        require(self.workers >= 0, f"--workers is {self.workers}; it must be 0 or more")
        require(not (self.asha and self.pbt), "--asha stops trials and --pbt keeps all of them; choose one")
        require(self.trials >= 1, f"--trials is {self.trials}; it must be at least 1")
        searched = self.search != "none"
        for name in ("asha", "pbt", "ray_address"):
            flag = name.replace("_", "-")
            require(not (self.slurm and getattr(self, name)), f"--slurm leaves the order to Slurm; leave out --{flag}")
        require(not (self.slurm and searched), "--slurm submits all trials at once; leave out --search")
        for name in ("asha", "pbt"):
            require(not (searched and getattr(self, name)), f"--search chooses the trials itself; leave out --{name}")
        require(
            not (searched and self.random), "--search draws points itself; --trials N says how many, leave out --random"
        )
        require(not (searched and self.seeds > 1), "a search tries each point with one seed; leave out --seeds")
        require(
            not (searched and self.ray_address), "--search starts its trials on this machine; --storage is for several"
        )
        if self.until_sure:
            effect_in(self.until_sure, "--until-sure")
            require(self.round >= 1, f"--round is {self.round}; it must be at least 1")
            require(
                self.seeds >= max(self.round, 2),
                f"--seeds is {self.seeds}; with --until-sure it is the most seeds of a setting, and at least 2 and --round, "
                f"{self.round}",
            )
            for name, on in (("asha", self.asha), ("pbt", self.pbt), ("search", searched), ("slurm", self.slurm)):
                require(not on, f"--until-sure waits for each round of seeds; leave out --{name}")
        require(searched or not self.storage or bool(self.resume), "--storage is for --search")


def main(experiment: Experiment | None, flags: Flags) -> int:
    """Plan or go on with a sweep, train its trials, print the comparison. Returns 1 when a trial failed."""
    if experiment is None:
        return _go_on(flags)
    require(not flags.resume, f"a sweep goes on as it was planned; {experiment.label!r} would change it")
    scheduler = "asha" if flags.asha else "pbt" if flags.pbt else flags.search
    draws = flags.trials if flags.search != "none" else flags.random
    plan = make_plan(experiment.label, experiment.words, flags.grid, flags.seeds, draws, scheduler)
    if flags.until_sure:
        plan = dataclasses.replace(plan, effect=flags.until_sure, round=flags.round)
    if not flags.slurm:
        _trainer(plan)
    folder = new_folder(Path(flags.folder) / plan.name)
    import yaml

    write_atomically(folder / "sweep.yaml", yaml.safe_dump(dataclasses.asdict(plan), sort_keys=False))
    if flags.slurm:
        from experiments.sweeps.slurm import submit

        print(f"{submit(plan, folder, flags.slurm)}: {len(plan.trials)} trials")
        print(f"compare  pongan compare {shlex.quote(str(folder / 'runs'))}")
        return 0
    return _train(plan, folder, flags)


def _go_on(flags: Flags) -> int:
    if not flags.resume:
        raise UsageError("usage: pongan sweep NAME [flags], or pongan sweep --resume FOLDER")
    defaults = Flags()
    for name in (
        "seeds",
        "grid",
        "random",
        "asha",
        "pbt",
        "folder",
        "search",
        "trials",
        "slurm",
        "until_sure",
        "round",
    ):
        require(
            getattr(flags, name) == getattr(defaults, name),
            f"a sweep goes on as it was planned; '--{name.replace('_', '-')}' would change it",
        )
    folder = Path(flags.resume)
    if not (folder / "sweep.yaml").is_file():
        raise UsageError(
            f"{flags.resume!r} is no sweep's folder: it has no sweep.yaml; sweeps look like sweeps/NAME/DATE-TIME"
        )
    return _train(read_plan(folder / "sweep.yaml"), folder.resolve(), flags)


def _train(plan: Plan, folder: Path, flags: Flags) -> int:
    train, place = _trainer(plan), flags.storage if plan.scheduler in SEARCHES else flags.ray_address
    workers = flags.workers or (OF_A_CLUSTER if flags.ray_address else AT_ONCE)
    with locked(folder):
        states = {trial: read_record(folder, trial).get("state", "waiting") for trial in plan.trials}
        over = {"finished", "stopped", "spared"} | (set() if flags.retry else {"failed"})
        todo = [trial for trial, state in states.items() if state not in over]
        done = len(states) - len(todo)
        print(
            f"{len(states)} trials"
            + (f", {done} of them done" if done else "")
            + f", {min(workers, max(len(todo), 1))} at a time: {folder}"
        )
        if todo:
            for trials in _rounds(plan, folder, todo) if plan.effect else [todo]:
                train(plan, folder, trials, workers, place or None)
    records = {trial: read_record(folder, trial) for trial in plan.trials}
    if any(record.get("run") for record in records.values()):
        try:
            report(
                [str(folder / "runs")],
                plot_file=str(folder / "compare.png"),
                csv_file=str(folder / "compare.csv"),
            )
        except UsageError as error:  # e.g. no trial has come to its first evaluation
            print(f"no comparison: {error}")
    count = counted(record.get("state", "waiting") for record in records.values())
    print("trials   " + ", ".join(f"{number} {state}" for state, number in count))
    failed = [trial for trial, record in records.items() if record.get("state") == "failed"]
    for trial in failed:
        named, why = plan.label(trial, records[trial].get("values")), records[trial].get("why", "")
        print(f"failed   {named}: {why} (log: {folder / 'logs' / trial}.log)")
    over = {"finished", "stopped", "spared", "failed"}
    left = [trial for trial, record in records.items() if record.get("state") not in over]
    if left or failed:
        again = " --retry" if failed and not left else ""
        print(f"go on    pongan sweep --resume {shlex.quote(str(folder))}{again}")
    return 130 if left else 1 if failed else 0


def _rounds(plan: Plan, folder: Path, todo: Sequence[str]) -> Iterator[list[str]]:
    """Give trials out of `todo` round by round and say after each what is known; spare those that are not needed at the end."""
    from experiments.sweeps.rounds import next_round, verdicts

    names = list(dict.fromkeys(" ".join(f"{k}={v}" for k, v in e["values"].items()) for e in plan.trials.values()))
    said, waiting = dict[tuple[int, ...], str](), set(todo)
    while True:
        known = verdicts(plan, folder, waiting)
        for verdict in known:
            line = _sentence(verdict, names)
            if said.get(verdict.settings) != line:
                print(line, flush=True)
            said[verdict.settings] = line
        trials = next_round(plan, known, waiting)
        if not trials:
            break
        yield trials
        if any(read_record(folder, trial).get("state") not in ("finished", "failed") for trial in trials):
            return  # interrupted
        waiting.difference_update(trials)
    for trial in waiting:
        write_record(folder, trial, state="spared")


def _sentence(verdict: Verdict, names: Sequence[str]) -> str:
    """Return a verdict for people."""
    which = " and ".join(names[place] or "the setting" for place in verdict.settings)
    if not verdict.rounds:
        return f"{which}: nothing known yet"
    what = {
        "different": "told apart",
        "alike": "no difference that matters",
        "narrow": "known closely enough",
        "open": "not sure yet",
    }[verdict.what]
    number = "mean" if len(verdict.settings) == 1 else "difference"
    low, high = verdict.interval or (float("nan"),) * 2
    after = f"{verdict.rounds} round{'s' if verdict.rounds > 1 else ''}"
    return f"{which}: {what} after {after}; {number} {verdict.middle:.4g}, 95 % interval {low:.4g} to {high:.4g}"


def _trainer(plan: Plan) -> Callable[..., None]:
    """Return the function that trains trials; UsageError where what it needs is not installed."""
    searched = plan.scheduler in SEARCHES
    package, told, extra = (
        ("optuna", "--search needs Optuna", "optuna") if searched else ("ray", "sweep needs Ray Tune", "ray")
    )
    try:
        module = importlib.import_module(f"experiments.sweeps.{'search' if searched else 'trials'}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package:
            raise
        raise UsageError(f"{told}: install pongan[{extra}]") from error
    train: Callable[..., None] = module.train
    return train
