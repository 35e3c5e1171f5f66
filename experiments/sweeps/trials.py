"""What Ray Tune sees of a sweep: a trial is a process of its own (`Job`), of which it reports the evaluations."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining, TrialScheduler

from core import checkpoint
from core.errors import UsageError
from experiments.launcher.experiment import Experiment
from experiments.launcher.flags import as_dict
from experiments.launcher.folder import RunFolder
from experiments.sweeps.job import PATIENCE, Job, python_path
from experiments.sweeps.plan import Axis, Plan, read_record, write_record

__all__ = ["Trial", "train"]

POLL_SECONDS = 0.3
REDUCTION = 3  # of successive halving: of three trials that reach a rung the best goes on


def train(plan: Plan, folder: Path, todo: Sequence[str], workers: int, address: str | None) -> None:
    """Bring the trials `todo` to their end, `workers` at a time; what became of each is in its record."""
    first = Experiment.of(plan.words(todo[0], folder))
    spec, settings = first.spec, first.settings
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the runs' own event files are the record
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # paths in the settings are those of the user's folder
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    given = {"address": address} if address else {"address": "local", "num_cpus": workers}
    environment = {} if address else {"PYTHONPATH": python_path()}
    with contextlib.suppress(KeyboardInterrupt):  # Tune has stopped its trials by then
        try:
            if address and ":" in address:
                host, _, port = address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, port), timeout=PATIENCE).close()  # Ray itself never gives up
            ray.init(
                **given,
                include_dashboard=False if not address else None,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": environment},
            )
        except OSError as error:  # ConnectionError of Ray's too
            if address is None:
                raise
            raise UsageError(
                f"no Ray cluster lets us in at {address!r}; `ray start --head` prints the address of one, and a cluster with "
                "tokens, as Ray 2.60 starts by default, needs RAY_AUTH_MODE=token here"
            ) from error
        logging.getLogger("ray.tune").setLevel(
            logging.CRITICAL
        )  # we name a failed trial ourselves; no traceback of Ray's
        try:
            # Successive halving compares with those that have ended, so they tell their curves once more.
            told = (
                [t for t in plan.trials if read_record(folder, t).get("state") == "finished"]
                if plan.scheduler == "asha"
                else []
            )
            jobs = [
                {
                    "trial": name,
                    "sweep": str(folder),
                    "values": _values(plan, folder, name),
                    "threads": 0 if address else workers,
                }
                for name in [*told, *todo]
            ]
            tune.Tuner(
                tune.with_resources(Trial, {"cpu": 1}),
                param_space={"job": tune.grid_search(jobs)},
                tune_config=tune.TuneConfig(
                    scheduler=_scheduler(plan, settings, spec.goal, workers),
                    max_concurrent_trials=workers,
                    trial_name_creator=_name_at_birth,
                    trial_dirname_creator=_name_at_birth,
                ),
                run_config=tune.RunConfig(
                    name=time.strftime("%Y%m%d-%H%M%S"),
                    storage_path=str(folder / "ray"),
                    callbacks=[_Reporter(plan, folder, spec.clock, spec.headline)],
                    failure_config=tune.FailureConfig(max_failures=0),
                    verbose=0,
                ),
            ).fit()
        finally:
            ray.shutdown()


def _name_at_birth(trial: Any) -> str:
    return str(trial.config["job"]["trial"])


def _name(trial: Any) -> str:
    """Return a trial's own name; its configuration may be another's by now, which population-based training copies whole."""
    return str(trial)


def _values(plan: Plan, folder: Path, name: str) -> dict[str, Any]:
    """Return the settings of a trial: the plan's, or those that population-based training has given it since.

    That multiplies what lies in a range by a factor, so these are numbers.
    """
    values = read_record(folder, name).get("values") or plan.trials[name]["values"]
    ranges = {axis.key: axis for axis in plan.parsed_axes() if not axis.values}
    return {
        key: text if key not in ranges else int(text) if ranges[key].whole else float(text)
        for key, text in values.items()
    }


def _scheduler(plan: Plan, settings: Any, goal: str, workers: int) -> Any:
    if plan.scheduler == "asha":
        return ASHAScheduler(
            time_attr="clock",
            metric="headline",
            mode=goal,
            max_t=settings.until,
            grace_period=settings.eval_every,
            reduction_factor=REDUCTION,
        )
    if plan.scheduler == "pbt":
        return _Population(
            workers >= len(plan.trials),
            time_attr="clock",
            metric="headline",
            mode=goal,
            perturbation_interval=settings.eval_every,
            hyperparam_mutations={"job": {"values": {axis.key: _mutation(axis) for axis in plan.parsed_axes()}}},
            log_config=False,
        )
    return None


class _Population(PopulationBasedTraining):
    """Tune's, in which no trial makes way for a waiting one where each has a worker: its process would end and begin again."""

    def __init__(self, room: bool, **settings: Any):
        super().__init__(**settings)
        self.room = room

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if decision == TrialScheduler.PAUSE and self.room else decision


def _mutation(axis: Axis) -> Any:
    if axis.values:
        return list(axis.values)
    if axis.whole:
        return tune.randint(int(axis.low), int(axis.high) + 1)
    return tune.loguniform(axis.low, axis.high) if axis.log else tune.uniform(axis.low, axis.high)


class _Reporter(tune.Callback):
    """Prints a line where something has happened, and records what Tune decided."""

    def __init__(self, plan: Plan, folder: Path, clock: str, headline: str):
        self.plan, self.folder, self.clock, self.headline = plan, folder, clock, headline

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if not result.get("ended"):
            print(
                f"{_name(trial)} {result['clock']:,} {self.clock}: {self.headline} {result['headline']:.4g}", flush=True
            )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        result = trial.last_result or {}
        if result.get("ended"):
            print(f"{_name(trial)} finished: {self.headline} {result['headline']:.4g}", flush=True)
        elif self.plan.scheduler == "asha":
            write_record(self.folder, _name(trial), state="stopped")
            print(f"{_name(trial)} stopped early at {result.get('clock', 0):,} {self.clock}", flush=True)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        name = _name(trial)
        if read_record(self.folder, name).get("state") != "failed":  # not the run itself: its Ray worker
            said = Path(trial.error_file).read_text().strip() if trial.error_file else ""
            why = f"its Ray worker ended: {said.splitlines()[-1]}" if said else "its Ray worker was lost"
            write_record(self.folder, name, state="failed", why=why)
        print(f"{name} failed: {read_record(self.folder, name)['why']}", flush=True)


class Trial(tune.Trainable):
    """One run. Each `step` waits for the next evaluation; the last result has `ended`."""

    def setup(self, config: dict[str, Any]) -> None:
        given = config["job"]
        name = self.trial_name  # not the job's, which population-based training copies from a better trial
        sweep = Path(given["sweep"])
        # A number that Ray drew may be one of numpy's, which JSON does not know.
        values = {key: getattr(value, "item", lambda value=value: value)() for key, value in given["values"].items()}
        plan = Plan(**yaml.safe_load((sweep / "sweep.yaml").read_text()))
        self.job = Job(plan, sweep, name, values, given["threads"])
        self.over = read_record(sweep, name).get("state") == "finished"

    def step(self) -> dict[str, Any]:
        job = self.job
        if job.process is None and not self.over:
            job.start()
        while True:
            ended = job.ended  # before looking for the last point
            point = job.next_point()
            if point is not None:
                if point[0] < job.until:
                    return {"clock": point[0], "headline": point[1]}
                if job.process is not None:  # told as its end, so that no scheduler decides about it any more
                    job.process.wait()
                ended = True
            if ended:
                why = job.failure()
                job.record(why)
                if why or job.last is None:
                    raise RuntimeError(why)
                return {"clock": job.last[0], "headline": job.last[1], "ended": True, "done": True}
            time.sleep(POLL_SECONDS)

    def cleanup(self) -> None:
        """Let the process save and end."""
        self.job.stop()

    # --- population-based training: a trial goes on from the checkpoint of a better one ------------------------------------

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Copy the run with its newest checkpoint, which must not be older than the evaluation it is judged by."""
        job = self.job
        assert job.run is not None and job.last is not None
        deadline = time.monotonic() + PATIENCE
        while not (whole := checkpoint.numbered(job.run)) or checkpoint.clock_of(whole[0]) < job.last[0]:
            if time.monotonic() > deadline or job.ended:
                break
            time.sleep(POLL_SECONDS)
        newest = whole[0].name
        others = {path.name for path in (job.run / "checkpoints").iterdir()} - {newest}
        shutil.copytree(
            job.run, Path(checkpoint_dir) / "run", ignore=lambda _, names: others & {*names} | {".lock"} & {*names}
        )
        about = {"trial": job.name, "checkpoint": newest, "values": job.values, "last": job.last}
        (Path(checkpoint_dir) / "about.json").write_text(json.dumps(about))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        job = self.job
        about = json.loads((Path(checkpoint_dir) / "about.json").read_text())
        clock, value = about["last"]
        job.last = (clock, value)
        if about["trial"] == job.name and about["values"] == job.values:
            return  # Tune only paused it: its own run goes on
        job.stop()
        job.process, old = None, job.run
        assert old is not None
        name = f"{old.name.partition('-fork')[0]}-fork{clock}"
        taken = {path.name for place in (old.parent, job.sweep / "replaced") for path in place.glob(f"{name}*")}
        new = old.with_name(name if name not in taken else f"{name}-{len(taken)}")  # forked again at the same clock
        shutil.copytree(Path(checkpoint_dir) / "run", new)
        experiment = Experiment.of(job.plan.words(job.name, job.sweep, job.values))
        values = RunFolder.read_config(old)
        varied = {key.removeprefix("run."): key for key in job.values if key.startswith("run.")}
        values[experiment.spec.prefix] = as_dict(experiment.config)
        values["run"] |= {name: value for name, value in as_dict(experiment.settings).items() if name in varied}
        (new / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        meta = RunFolder.meta(new) | {
            "forked": {"checkpoint": about["checkpoint"], "from": about["trial"], "values": about["values"]},
            "seed": values["run"]["seed"],
        }
        (new / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
        (new / "results.json").unlink(missing_ok=True)
        (job.sweep / "replaced").mkdir(exist_ok=True)
        shutil.move(old, job.sweep / "replaced" / old.name)
        job.run = new
        write_record(job.sweep, job.name, run=str(new.relative_to(job.sweep)), values=job.values)
