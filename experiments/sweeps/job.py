"""The process of a trial: the launcher, which trains a run, and what the run's event file says.

A process, not a function: TensorFlow's threads and determinism are fixed once a process, a crash or an exhausted memory stays in
one trial, and a trial is launched, resumed and stopped exactly as a run from the command line is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import checkpoint
from experiments.launcher.events import read_scalars
from experiments.launcher.experiment import Experiment
from experiments.sweeps.plan import Plan, read_record, write_record

__all__ = ["HOME", "PATIENCE", "Job", "python_path"]

PATIENCE = 120.0  # seconds for a trial to save and end
HOME = Path(__file__).resolve().parents[2]


class Job:
    """A trial with the settings `values`; its record says where its run is, once there is one."""

    def __init__(self, plan: Plan, sweep: Path, name: str, values: Mapping[str, Any], share: int = 0):
        """`share`: trials that share the cores of this machine, 0 where each has those that somebody else gives it."""
        self.plan, self.sweep, self.name, self.values, self.share = plan, sweep, name, dict(values), share
        experiment = Experiment.of(plan.words(name, sweep, self.values))
        self.headline, self.until = experiment.spec.headline, experiment.settings.until
        self.process: subprocess.Popen[bytes] | None = None
        self.last: tuple[int, float] | None = None
        """The newest point (clock, headline) that was told."""
        record = read_record(sweep, name)
        self.run = sweep / record["run"] if record.get("run") else self._found()

    def start(self) -> None:
        """Start the run, or go on with it from its newest checkpoint."""
        if self.run is None:
            for husk in self._folders():  # killed before it saved anything
                shutil.rmtree(husk)
            words = ["run", *self.plan.words(self.name, self.sweep, self.values)]
            if self.share and "--run.threads" not in self.plan.flags:
                words += ["--run.threads", str(max((os.cpu_count() or 1) // self.share, 1))]
        else:
            settings = Experiment.of(self.plan.words(self.name, self.sweep, self.values)).settings
            words = ["resume", str(self.run), "--run.time-limit", str(settings.time_limit)]
        self.log.parent.mkdir(exist_ok=True)
        write_record(self.sweep, self.name, state="running", values=self.values, why="")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "experiments.sweeps.trial", str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": python_path()},
                start_new_session=True,  # Ctrl-C reaches the sweep, which then lets its trials save
            )

    @property
    def ended(self) -> bool:
        """Whether its process is over, or was never there."""
        return self.process is None or self.process.poll() is not None

    def next_point(self) -> tuple[int, float] | None:
        """Return the first evaluation after the last one told; a run that was resumed may tell some twice."""
        if self.run is None:
            self.run = self._found()
            if self.run is None:
                return None
            write_record(self.sweep, self.name, run=str(self.run.relative_to(self.sweep)))
        for clock, value in read_scalars(self.run).get(self.headline, []):
            if self.last is None or clock > self.last[0]:
                self.last = clock, value
                return self.last
        return None

    def failure(self) -> str:
        """Return why the process, which has ended, failed; '' where it has finished its run."""
        code = 0 if self.process is None else self.process.returncode
        if code == 0 and self.last is not None:
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if line.startswith("error:")), lines[-1] if lines else "")
        ending = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return said.removeprefix("error:").strip() if code > 0 and said else ending

    def record(self, why: str) -> None:
        """Record that the trial is finished, or failed for `why`."""
        write_record(self.sweep, self.name, state="failed" if why else "finished", why=why)

    def stop(self) -> None:
        """Let the process save and end."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> Path:
        """What the process prints."""
        return self.sweep / "logs" / f"{self.name}.log"

    def _found(self) -> Path | None:
        """Return this trial's newest run that can be resumed; one that was killed before its first checkpoint holds nothing."""
        whole = [path for path in self._folders() if checkpoint.numbered(path) and (path / "config.yaml").is_file()]
        return max(whole, key=lambda path: path.stat().st_mtime) if whole else None

    def _folders(self) -> list[Path]:
        """Return all run folders of this trial."""
        mine = re.compile(rf"-{self.name}(-|$)")
        return [path for path in self.sweep.glob("runs/*/*/*") if mine.search(path.name)]


def python_path() -> str:
    """Return a PYTHONPATH with which other processes find this repository first."""
    return os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
