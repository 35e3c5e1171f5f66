"""Sums of what every plugin's `tiny` run has computed after six steps, under --run.deterministic: a move of code changes no bit.

    python -m tests.frozen_sums [NAME ...]              print this machine's sums
    python -m tests.frozen_sums --renew [NAME ...]      record them, of all plugins or of those named

A commit that means to change numbers renews the sums and says why. Sums hold for one processor, one TensorFlow and one numpy;
elsewhere the test skips. Renewing drops the named plugins' sums of other machines, where nobody has computed the new ones.
This module, its sums and its test go when the issue "One house" closes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

__all__ = ["SUMS", "compute", "key", "main", "recorded"]

SUMS = Path(__file__).with_name("frozen_sums.json")
CPUINFO = Path("/proc/cpuinfo")
THREADS = 1
PREFIXES = (
    "avx",
    "amx",
    "fma",
    "f16c",
    "sse4",
    "sve",
    "asimd",
    "bf16",
    "i8mm",
)  # flags by which libraries choose kernels


def key() -> str:
    """Return what the last digit of a sum depends on, as far as it is known: processor, libraries, threads."""
    info: dict[str, str] = {}
    if CPUINFO.exists():
        for line in reversed(CPUINFO.read_text().splitlines()):  # so that the first processor comes last and stays
            name, _, value = line.partition(":")
            info[name.strip()] = value.strip()
    flags = info.get("flags", info.get("Features", "")).split()
    chosen = " ".join(sorted(flag for flag in flags if flag.startswith(PREFIXES)))
    libraries = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy"))
    vendor = info.get("vendor_id", info.get("CPU implementer", "unknown"))
    return f"{platform.machine()} {vendor}: {chosen}; {libraries}; {THREADS} thread"


def recorded() -> dict[str, str]:
    """Return plugin -> sum for this machine's key, empty where there is none."""
    return json.loads(SUMS.read_text()).get(key(), {})


def compute(names: list[str]) -> dict[str, str]:
    """Return plugin -> sum. Determinism is set for the whole process, which should be one of its own."""
    from core import checkpoint
    from core.plugin import Context, build
    from core.runtime import configure
    from experiments.launcher.catalogue import catalogue
    from experiments.testing import STEPS, tiny

    configure(device="cpu", threads=THREADS, deterministic=True)
    sums = {}
    for name in names:
        spec = catalogue().plugins[name]
        with tempfile.TemporaryDirectory() as folder:
            plugin = build(spec, tiny(spec), Context(seed=3, folder=Path(folder)))
            for _ in range(STEPS):
                plugin.step()
            saved = checkpoint.save(Path(folder), f"{1:012d}", {"plugin": plugin.state()})
            plugin.close()
            with np.load(saved / "arrays.npz") as arrays:
                each = [_sum(arrays[name]) for name in arrays.files]
        # sorted, since a move may put an array to another place of the tree
        sums[name] = hashlib.sha256("".join(sorted(each)).encode()).hexdigest()
    return sums


def _sum(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes()).hexdigest()


def main() -> None:
    from tests.test_contract import BUILT_IN

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="plugins, by default all")
    parser.add_argument("--renew", action="store_true", help=f"write the sums into {SUMS.name}")
    arguments = parser.parse_args()
    unknown = {*arguments.names} - {*BUILT_IN}
    if unknown:
        parser.error(f"no built-in plugin is called {', '.join(sorted(unknown))}; there are {', '.join(BUILT_IN)}")
    sums = compute(arguments.names or BUILT_IN)
    if arguments.renew:
        table = json.loads(SUMS.read_text()) if SUMS.exists() else {}
        table.setdefault(key(), {})
        for machine, old in table.items():
            kept = {name: total for name, total in old.items() if name in BUILT_IN and name not in sums}
            table[machine] = dict(sorted((kept | (sums if machine == key() else {})).items()))
        SUMS.write_text(json.dumps({machine: known for machine, known in table.items() if known}, indent=1) + "\n")
    sys.stdout.write(json.dumps(sums, indent=1) + "\n")


if __name__ == "__main__":
    main()
