"""A sweep on a Slurm cluster: an array job whose tasks are plain commands, `python -m experiments.run NAME --config FILE`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from core.disk import write_atomically
from core.errors import UsageError
from experiments.launcher.experiment import Experiment
from experiments.sweeps.job import HOME
from experiments.sweeps.plan import Plan

__all__ = ["submit"]


def submit(plan: Plan, folder: Path, options: str) -> str:
    """Write a configuration for each trial and the script of the array job into the sweep's folder, and give it to sbatch.

    `options` are sbatch's, as on a command line. Returns what sbatch said. Raises UsageError where there is none or it refuses.
    """
    import yaml

    lines = []
    (folder / "configs").mkdir()
    (folder / "logs").mkdir(exist_ok=True)
    for number, trial in enumerate(plan.trials, 1):
        file = folder / "configs" / f"{trial}.yaml"
        values = Experiment.of(plan.words(trial, folder)).values()
        write_atomically(file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        command = [sys.executable, "-m", "experiments.run", plan.name, "--config", str(file)]
        lines.append(f"    {number}) exec {shlex.join(command)} ;;")
    head = [
        "#!/bin/bash",
        f"#SBATCH --array=1-{len(plan.trials)}",
        f"#SBATCH --job-name={plan.name}",
        f"#SBATCH --output={folder / 'logs'}/%a.log",
        "# In its last minute a task is asked to save; `pongan resume RUN` goes on from there.",
        "#SBATCH --signal=TERM@60",
    ]
    given = [f"#SBATCH {option}" for option in shlex.split(options)]
    body = [f"cd {shlex.quote(str(HOME))}", 'case "$SLURM_ARRAY_TASK_ID" in', *lines, "esac"]
    script = folder / "sweep.sbatch"
    write_atomically(script, "\n".join([*head, *given, "", *body]) + "\n")
    try:
        done = subprocess.run(["sbatch", str(script)], capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise UsageError(
            f"there is no sbatch on this machine; the script is written, submit it where there is: sbatch {script}"
        ) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UsageError(f"sbatch refused {script}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout.strip()
