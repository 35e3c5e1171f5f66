"""Environment steps per second of `a3c` with its workers in threads, in processes and in Ray actors.

python -m experiments.benchmarks.a3c [--seconds 15] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from experiments.benchmarks.interleaved import interleave, machine

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "a3c_backends"
PRESETS = ("a3c-cartpole", "a3c-bipedalwalker", "a3c-pong42")
BACKENDS = ("threads", "processes", "ray")


def rate(preset: str, backend: str, seconds: float) -> float:
    """Return environment steps per second, all workers together, while they learn."""
    from core.runtime import configure
    from experiments.launcher.catalogue import catalogue
    from experiments.launcher.flags import parse
    from experiments.launcher.restore import make_plugin
    from experiments.launcher.settings import RunConfig
    from experiments.launcher.yaml_file import read_yaml

    spec, found = catalogue().find(preset)
    assert found is not None
    config = parse(spec, [(preset, read_yaml(found.path))], ["--agent.backend", backend], prog=preset, usage="").agent
    configure(device="cpu")
    agent = make_plugin(spec, config, RunConfig(), Path(tempfile.mkdtemp()), lambda line: None)
    begun = time.perf_counter()
    while time.perf_counter() - begun < 4:  # workers started, functions traced
        agent.step()
    begun, clock = time.perf_counter(), agent.clock
    while time.perf_counter() - begun < seconds:
        agent.step()
    measured = (agent.clock - clock) / (time.perf_counter() - begun)
    agent.close()
    return measured


def main() -> None:
    """Measure every preset with every backend in turn, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="time of one measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each pair, interleaved")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        preset, backend = arguments.worker
        print(rate(preset, backend, arguments.seconds))
        return
    pairs = {f"{p} {b}": ("--worker", p, b, "--seconds", arguments.seconds) for p in PRESETS for b in BACKENDS}
    rates = interleave(__spec__.name, pairs, arguments.rounds)
    lines = [f"| preset | {' | '.join(BACKENDS)} |", "| --- | --- | --- | --- |"]
    for preset in PRESETS:
        medians = [statistics.median(rates[f"{preset} {backend}"]) for backend in BACKENDS]
        lines.append(f"| `{preset}` | {' | '.join(f'{median:,.0f}' for median in medians)} |")
    note = (
        f"Environment steps per second of all workers together, one worker per core, medians of {arguments.rounds} interleaved "
        f"rounds of {arguments.seconds:g} s; {machine()}; "
        f"`python -m experiments.benchmarks.a3c --seconds {arguments.seconds:g} --rounds {arguments.rounds}`"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_suffix(".md").write_text("\n".join([*lines, "", note]) + "\n")
    RESULTS.with_suffix(".json").write_text(json.dumps({"steps_per_second": rates, "protocol": note}, indent=2) + "\n")
    print(RESULTS.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
