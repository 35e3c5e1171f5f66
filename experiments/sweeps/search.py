"""Optuna chooses what a trial tries from what others have reached: `sweep NAME --search tpe`.

The study lies in the sweep's folder, optuna.db, or in a database that several machines share. Trials are processes as in every
other sweep. What Optuna proposed to a trial stands in the trial's record, so that one that was left running is gone on with.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna

from core.errors import UsageError
from core.seeds import child
from experiments.launcher.experiment import Experiment
from experiments.launcher.folder import RunFolder
from experiments.sweeps.job import Job
from experiments.sweeps.plan import Axis, Plan, read_record, write_record

__all__ = ["train"]

POLL_SECONDS = 0.3


def train(plan: Plan, folder: Path, todo: Sequence[str], workers: int, storage: str | None) -> None:
    """Bring the trials `todo` to their end, `workers` at a time; what became of each is in its record.

    With nsga2 a trial is judged by its headline and by its minutes, else by its headline alone.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = Experiment.of(plan.words(todo[0], folder, {})).spec
    goal, axes = "maximize" if spec.goal == "max" else "minimize", plan.parsed_axes()
    try:
        study = optuna.create_study(
            storage=storage or f"sqlite:///{folder / 'optuna.db'}",
            study_name=str(folder.relative_to(folder.parents[1])),
            sampler=_sampler(plan, folder),
            directions=[goal, "minimize"] if plan.scheduler == "nsga2" else [goal],
            load_if_exists=True,
        )
    except Exception as error:  # a driver's or SQLAlchemy's
        raise UsageError(f"the storage {storage!r} cannot be used: {str(error).splitlines()[0]}") from error
    waiting, running = list(todo), dict[str, Job]()
    with contextlib.suppress(KeyboardInterrupt), _stopped(running):
        while waiting or running:
            while waiting and len(running) < workers:
                name = waiting.pop(0)
                running[name] = Job(plan, folder, name, _proposed(study, axes, folder, name), workers)
                running[name].start()
            for name, job in list(running.items()):
                ended = job.ended  # before looking for the last point
                while (point := job.next_point()) is not None:
                    print(f"{name} {point[0]:,} {spec.clock}: {job.headline} {point[1]:.4g}", flush=True)
                if ended:
                    del running[name]
                    _tell(study, plan, folder, job)
            time.sleep(POLL_SECONDS)
    for trial in study.best_trials:
        shown = ", ".join(f"{key} {value}" for key, value in trial.params.items())
        print(f"best: {spec.headline} {trial.values[0]:.4g} with {shown}")


@contextlib.contextmanager
def _stopped(running: dict[str, Job]) -> Iterator[None]:
    """Let processes that are running save and end, whatever happens."""
    try:
        yield
    finally:
        for job in running.values():
            job.stop()


def _sampler(plan: Plan, folder: Path) -> Any:
    """Return a sampler without a memory of its own: what it goes by is the study, and its seed depends on how far that is."""
    seed = child(plan.seed, "search", sum("number" in read_record(folder, trial) for trial in plan.trials))
    if plan.scheduler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(len(plan.trials) // 4, 4))
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=min(10, len(plan.trials) // 3))


def _proposed(study: Any, axes: Sequence[Axis], folder: Path, name: str) -> dict[str, Any]:
    """Return the settings of a trial: those that it was given before it was interrupted, else new ones from Optuna."""
    record = read_record(folder, name)
    if record.get("state") in ("running", "waiting") and "number" in record:
        return dict(record["values"])
    trial = study.ask()
    values = {axis.key: _suggested(trial, axis) for axis in axes}
    write_record(folder, name, state="waiting", values=values, number=trial.number, why="", run=None)
    return values


def _suggested(trial: Any, axis: Axis) -> Any:
    if axis.values:
        return trial.suggest_categorical(axis.key, list(axis.values))
    if axis.whole:
        return trial.suggest_int(axis.key, round(axis.low), round(axis.high), log=axis.log)
    return trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)


def _tell(study: Any, plan: Plan, folder: Path, job: Job) -> None:
    """Tell Optuna what became of a trial whose process has ended, then the record: who is killed in between tells it twice."""
    number, why = read_record(folder, job.name)["number"], job.failure()
    if why or job.last is None or job.run is None:
        study.tell(number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
        print(f"{job.name} failed: {why}", flush=True)
    else:
        minutes = RunFolder.results(job.run)["wall_clock_seconds"] / 60
        values = [job.last[1], minutes] if plan.scheduler == "nsga2" else job.last[1]
        study.tell(number, values, skip_if_finished=True)
        print(f"{job.name} finished: {job.headline} {job.last[1]:.4g}", flush=True)
    job.record(why)
