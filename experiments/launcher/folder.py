"""A run on disk: its folder, records and lock.

runs/<name>/<what is learned from>/<date-time>-s<seed>[-tag]/
    config.yaml  meta.json  events.out.tfevents.*  checkpoints/  files/  code/  results.json  film.gif
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.disk import write_atomically
from core.errors import UsageError
from core.plugin import Spec
from experiments.launcher.yaml_file import read_yaml

__all__ = ["RunFolder"]

ROOT = Path(__file__).parent.parent.parent
LARGEST = 1_000_000  # bytes of a file of code
PACKAGES = ("pongan", "tensorflow", "keras", "numpy", "gymnasium", "ale-py", "tensorboard")


class RunFolder:
    """Paths and records of one run; holds a lock, so that two processes never train in one folder."""

    def __init__(self, path: Path):
        self.path = path.absolute()  # an environment may change the working directory
        self.given = path
        """The same, as short as the user named it: for lines to read and commands to paste, which begin where the run began."""
        path = self.path
        self.files = path / "files"
        """The plugin's own scratch folder."""
        self.film = path / "film.gif"
        """The newest evaluation that was filmed."""
        try:
            self._lock = open(path / ".lock", "w")  # noqa: SIM115 - held while the run lives
        except OSError as error:
            raise UsageError(f"the run folder {str(path)!r} cannot be written to: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise UsageError(f"another process is training in {path}; stop it first (Ctrl-C saves)") from error

    @classmethod
    def create(cls, root: str, name: str, subject: str, seed: int, tag: str) -> RunFolder:
        """Make a new folder for a run; UsageError when the disk refuses."""
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-s{seed}" + (f"-{tag}" if tag else "")
        parent = Path(root) / name / (re.sub(r"[^\w.-]+", "-", subject).strip("-") or "default")
        attempt = 0
        try:
            parent.mkdir(parents=True, exist_ok=True)
            while True:
                path = parent / (f"{stem}-{attempt}" if attempt else stem)
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    attempt += 1
            (path / "files").mkdir()
        except OSError as error:
            raise UsageError(
                f"no run folder can be made in {str(parent)!r}: {error.strerror}; choose another --run.folder"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open the folder of an earlier run; UsageError when it is none."""
        cls.check(path)
        return cls(path)

    @classmethod
    def status(cls, path: Path) -> str:
        """Return what became of a run: running, finished, interrupted, failed, or killed: marked as running, but nobody is."""
        status = str(cls.meta(path).get("status", "unknown")).split(":")[0]
        if status != "running" or not (path / ".lock").is_file():
            return status
        with open(path / ".lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return status
        return "killed"

    @staticmethod
    def check(path: Path) -> None:
        """Raise UsageError unless `path` is a run's folder."""
        if not path.is_dir():
            raise UsageError(f"there is no run folder {str(path)!r}")
        if not (path / "config.yaml").is_file():
            raise UsageError(
                f"{str(path)!r} is no run folder: it has no config.yaml; runs look like runs/NAME/ENV/DATE-TIME-sSEED"
            )

    def write_config(self, values: Mapping[str, Any]) -> None:
        import yaml

        write_atomically(self.path / "config.yaml", yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))

    @staticmethod
    def read_config(path: Path) -> dict[str, Any]:
        values = read_yaml(path / "config.yaml")
        if not isinstance(values.get("experiment"), str) or not isinstance(values.get("run", {}), dict):
            raise UsageError(
                f"{path / 'config.yaml'} has no name under `experiment` or no settings under `run`; it was not written by "
                "this launcher"
            )
        return values

    def write_meta(self, **changes: Any) -> None:
        """Update meta.json; the first call records versions, machine and commit."""
        file = self.path / "meta.json"
        meta = self.read_meta() or {"started": _now(), "host": _host(), **_provenance()}
        write_atomically(file, json.dumps(meta | {"updated": _now()} | changes, indent=2) + "\n")

    def keep_code(self, spec: Spec) -> None:
        """Keep in `code/` what the commit in meta.json does not have: the uncommitted changes as a patch, and another package's
        plugin."""
        if (patch := _uncommitted()) is not None:
            (self.path / "code").mkdir(exist_ok=True)
            (self.path / "code" / "uncommitted.patch").write_bytes(patch)
        for path, name in _sources(spec):
            target = self.path / "code" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def read_meta(self) -> dict[str, Any]:
        return self.meta(self.path)

    @staticmethod
    def meta(path: Path) -> dict[str, Any]:
        """Return the record of the run in `path`, {} when it has none yet."""
        return _read_json(path / "meta.json")

    @staticmethod
    def results(path: Path) -> dict[str, Any]:
        """Return the results of the run in `path`, {} before its end."""
        return _read_json(path / "results.json")

    def write_results(self, results: dict[str, Any]) -> None:
        write_atomically(self.path / "results.json", json.dumps(results, indent=2) + "\n")

    def event_file(self) -> Path:
        """The run's one event file: the existing one, or a name for a new one."""
        found = sorted(self.path.glob("events.out.tfevents.*"))
        return found[0] if found else self.path / f"events.out.tfevents.{int(time.time())}.{platform.node()}"

    def close(self) -> None:
        self._lock.close()


def _read_json(file: Path) -> dict[str, Any]:
    """Return what a file of the run holds, {} where it is missing; UsageError when it is damaged."""
    if not file.exists():
        return {}
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise UsageError(f"{file} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{file} is damaged: it must hold names and values, and is {str(values)[:40]!r}")
    return values


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _host() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _provenance() -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    commit = _git("rev-parse", "HEAD")
    found = commit.decode().strip() if commit else None
    changed = bool(_git("status", "--porcelain", "--untracked-files=no")) if found else None
    return {"argv": sys.argv, "versions": versions, "git": {"commit": found, "changed": changed}}


def _git(*arguments: str, ok: tuple[int, ...] = (0,)) -> bytes | None:
    """Return what git says of this repository; None where there is none, or git."""
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode in ok else None


def _uncommitted() -> bytes | None:
    """Return what `git apply` needs to make this working tree of its commit, new files that are not ignored among it."""
    patch = _git("diff", "--binary", "HEAD")
    if patch is None:
        return None
    for name in (_git("ls-files", "--others", "--exclude-standard", "-z") or b"").decode().split("\0"):
        if name and (ROOT / name).is_file() and (ROOT / name).stat().st_size <= LARGEST:
            patch += _git("diff", "--binary", "--no-index", "--", "/dev/null", name, ok=(0, 1)) or b""
    return patch or None


def _sources(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Yield (file, name in code/) of the Python and YAML files beside the configuration of a plugin that is not ours."""
    file = getattr(sys.modules.get(spec.config.__module__), "__file__", None)
    if file is None or Path(file).is_relative_to(ROOT):
        return
    folder, package = Path(file).parent, spec.config.__module__.rpartition(".")[0]
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml")) if package else [Path(file)]
    for path in found:
        if path.stat().st_size <= LARGEST:
            yield path, "/".join([*package.split("."), *path.relative_to(folder).parts]).lstrip("/")
