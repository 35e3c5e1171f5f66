"""`profile`: where the time of a training step goes, as a table, and a trace for TensorBoard's profile page.

A thread looks at the stack of the training thread every few milliseconds; the time between two looks goes to what it found
at both. It knows rooms, not plugins: modules that are environments or data, and TensorFlow functions that write
variables, which is what an update is and acting is not.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any

from core.errors import UsageError, require
from experiments.run import _take_option, run

__all__ = ["Sampler", "profile"]

USAGE = "profile NAME [--seconds S] [--warm-up S] [--trace STEPS] [flags of the run]"
PERIOD = 0.003  # seconds between two looks
PATIENCE = 0.0001  # seconds until a look interrupts Python code; at the usual 0.005 most looks fell on calls that wait
ENVIRONMENT = ("envs", "gymnasium", "ale_py", "Box2D", "pygame")
DATA = ("generative.data", "core.replay", "core.sum_tree", "core.iterate", "PIL")
WAITING = ("threading", "queue", "selectors", "concurrent.futures", "multiprocessing", "ray", "subprocess")
WRITES = ("Assign", "ResourceApply", "ResourceSparseApply", "ResourceScatter")  # beginnings of names of operations
ROWS = {
    "environment": "playing: envs, gymnasium, ale-py; waiting for games counts",
    "acting": "everything else in step(): choosing actions, book-keeping",
    "data": "batches: replay, data sources, pictures; waiting for read-ahead counts",
    "update": "TensorFlow functions that write variables, and the methods that call them",
    "workers": "waiting for the plugin's own threads, processes or actors, whose work is not seen from here",
    "logging": "means, event file, progress bar",
    "evaluation": "evaluate() and its records",
    "saving": "checkpoints",
}
HOT = 6  # functions of the plugin that are listed


Key = tuple[str | None, tuple[CodeType, ...], CodeType | None]
"""Room, if a rule claims one; the functions between step and there; the innermost function of the plugin."""


class Sampler(threading.Thread):
    """Watches one thread and adds up where it is, in `seconds`."""

    def __init__(self, loop: Any):
        super().__init__(daemon=True)
        self.loop, self.watched = loop, threading.get_ident()
        self.seconds: dict[Key, float] = defaultdict(float)
        self.measuring = threading.Event()
        self._over = threading.Event()
        self._writers: dict[int, tuple[Any, bool]] = {}  # traced functions by id, which keeps them alive
        package = type(loop.plugin).__module__.rpartition(".")[0]
        self._own = package or type(loop.plugin).__module__
        cls = type(loop)
        self._train = cls.train.__code__
        self._rooms = {cls._evaluate.__code__: "evaluation", cls.save.__code__: "saving"}

    def run(self) -> None:
        patience = sys.getswitchinterval()
        sys.setswitchinterval(PATIENCE)
        try:
            self._look()
        finally:
            sys.setswitchinterval(patience)

    def _look(self) -> None:
        before: Key | None = None
        last = time.perf_counter()
        while not self._over.wait(PERIOD):
            frame, now = sys._current_frames().get(self.watched), time.perf_counter()
            found = self.classify(frame) if frame is not None and self.measuring.is_set() else None
            for key in (before, found):  # each end of the time between two looks gets half of it
                if key is not None:
                    self.seconds[key] += (now - last) / 2
            last, before = now, found

    def finish(self) -> None:
        self._over.set()
        self.join()

    def classify(self, frame: FrameType | None) -> Key | None:
        """Return the key of `seconds` for a stack, None when it is not in the loop; room None is decided in `table`."""
        stack: list[FrameType] = []
        while frame is not None and frame.f_code is not self._train:
            stack.append(frame)
            frame = frame.f_back
        if frame is None:
            return None
        stack.reverse()  # outermost first: what `train` called
        if not stack or stack[0].f_code in self._rooms:
            return self._rooms[stack[0].f_code] if stack else "logging", (), None
        if stack[0].f_code is _COUNTED:
            stack = stack[1:]
        elif _module(stack[0]).startswith("experiments."):
            return "logging", (), None
        path: list[CodeType] = []
        for below in stack[1:]:  # stack[0] is step itself
            module = _module(below)
            if _within(module, ENVIRONMENT):
                return "environment", tuple(path), self._innermost(stack)
            if _within(module, DATA):
                return "data", tuple(path), self._innermost(stack)
            if self._writes_variables(below, module):
                return "update", tuple(path), self._innermost(stack)
            path.append(below.f_code)
        waits = bool(stack) and _within(_module(stack[-1]), WAITING)
        return "workers" if waits else None, tuple(path), self._innermost(stack)

    def _innermost(self, stack: list[FrameType]) -> CodeType | None:
        return next((f.f_code for f in reversed(stack) if _within(_module(f), (self._own,))), None)

    def _writes_variables(self, frame: FrameType, module: str) -> bool:
        assigns = module.endswith("resource_variable_ops") and frame.f_code.co_name.startswith("assign")
        if assigns or module.startswith("keras.src.optimizers"):
            return True
        if not module.startswith("tensorflow.python.eager.polymorphic_function"):
            return False
        function = frame.f_locals.get("self")
        graph = getattr(function, "graph", None)
        if graph is None:
            return False
        if id(function) not in self._writers:
            self._writers[id(function)] = (function, _has_writes(graph))
        return self._writers[id(function)][1]

    def table(self) -> dict[str, float]:
        """Return seconds by room. What no rule claimed belongs to the update if what `step` called also leads to one."""
        updating = {path[:1] for room, path, _ in self.seconds if room == "update" and path}
        rooms: dict[str, float] = defaultdict(float)
        for (room, path, _), seconds in self.seconds.items():
            rooms[room or ("update" if path[:1] in updating else "acting")] += seconds
        return dict(rooms)

    def hot(self) -> list[tuple[str, float]]:
        """Return the plugin's functions by the time spent in them and in what is not the plugin's below them."""
        functions: dict[str, float] = defaultdict(float)
        for (_, _, code), seconds in self.seconds.items():
            if code is not None:
                functions[f"{code.co_qualname} (line {code.co_firstlineno})"] += seconds
        return sorted(functions.items(), key=lambda item: -item[1])[:HOT]


def profile(argv: Sequence[str]) -> int:
    """Train for a few seconds and print the table; the run stays as an ordinary folder with the trace in it."""
    rest = list(argv)
    if not rest or rest[0].startswith("-"):
        raise UsageError(f"usage: python -m experiments {USAGE}")
    seconds = _number(_take_option(rest, "--seconds") or "20", "--seconds")
    warm_up = _number(_take_option(rest, "--warm-up") or "5", "--warm-up")
    traced = int(_number(_take_option(rest, "--trace") or "10", "--trace"))
    watch = _Watch(seconds, warm_up, traced)
    given = {word.partition("=")[0].replace("_", "-") for word in rest}
    for flag, value in (("--run.eval-every", "0"), ("--run.save-every", "0"), ("--run.tag", "profile")):
        if flag not in given:
            rest += [flag, value]
    try:
        code = run(rest, watch.begin)
    finally:
        watch.stop()
    watch.report()
    return code


class _Watch:
    """Counts the calls of step(): the first ones warm up, some are traced, the others sampled."""

    def __init__(self, seconds: float, warm_up: float, traced: int):
        self.seconds, self.warm_up, self.traced = seconds, warm_up, traced
        self.said: list[str] = []
        self.steps = 0
        self.duration, self.ticks = 0.0, 0  # of the sampling
        self.loop: Any = None

    def begin(self, loop: Any) -> None:
        self.loop, self.step = loop, loop.plugin.step
        self.sampler = Sampler(loop)
        self.sampler.start()
        self.begun: float | None = None
        self.sampled_since = 0.0
        self.tracing = 0
        loop.plugin.step = self.counted

    def counted(self) -> Any:
        now = time.perf_counter()
        self.begun = self.begun or now
        sampling = self.sampler.measuring.is_set()
        if not sampling and now - self.begun >= self.warm_up:
            if self.tracing < self.traced:
                self._trace(now)
            else:
                self._end_trace()
                self.sampler.measuring.set()
                self.sampled_since, self.clock = time.perf_counter(), self.loop.plugin.clock
        elif sampling:
            self.steps += 1
            self.duration, self.ticks = now - self.sampled_since, self.loop.plugin.clock - self.clock
            if self.duration >= self.seconds:
                self.stop()
                self.loop.stop_soon()
        return self.step()

    def stop(self) -> None:
        """End trace and sampling; however the run came to its end, both are over after this."""
        if self.loop is None or not self.sampler.is_alive():
            return
        self.sampler.measuring.clear()
        self.sampler.finish()
        self.loop.plugin.step = self.step
        self._end_trace()

    def _trace(self, now: float) -> None:
        import tensorflow as tf

        if self.tracing == 0:
            try:
                tf.profiler.experimental.start(str(self.loop.folder.path))
            except (tf.errors.OpError, RuntimeError, ImportError) as error:
                self.said.append(f"no trace: {str(error).splitlines()[0]}")
                self.traced = 0
                return
        self.tracing += 1

    def _end_trace(self) -> None:
        import tensorflow as tf

        if self.tracing:
            tf.profiler.experimental.stop()
            place = self.loop.folder.path / "plugins" / "profile"
            self.said.append(
                f"trace of {self.tracing} steps: {place}; TensorBoard shows it on its page Profile where the package "
                "tensorboard-plugin-profile is installed"
            )
            self.tracing = 0

    def report(self) -> None:
        from rich.console import Console
        from rich.table import Table

        if not self.steps:
            print(
                "the run ended before the warm-up did, or right after: nothing was measured; give it a larger --run.until or a "
                "smaller --warm-up"
            )
            print(*self.said, sep="\n", end="\n" if self.said else "")
            return
        if self.duration < self.seconds:
            self.said.insert(
                0, f"the run ended before --seconds {self.seconds:g} had passed; its last evaluation and save count"
            )
        rooms, hot = self.sampler.table(), self.sampler.hot()
        total = sum(rooms.values())
        generative = self.loop.spec.kind == "generative"
        table = Table(
            title=f"{self.loop.spec.name}: {self.steps:,} calls of step() in {self.duration:.1f} s, "
            f"{self.ticks / self.duration:,.0f} {self.loop.spec.clock} per second",
            title_justify="left",
        )
        for column in ("where", "share", "ms a step", "what it is"):
            table.add_column(column, justify="right" if column in ("share", "ms a step") else "left", overflow="fold")
        for room, what in ROWS.items():
            if rooms.get(room, 0.0) > 0.0005 * total:
                name = "other" if room == "acting" and generative else room
                what = "everything else in step()" if name == "other" else what
                spent = rooms[room]
                table.add_row(name, f"{spent / total:.1%}", f"{1000 * spent / self.steps:.3f}", what)
        console = Console(highlight=False)
        console.print(table)
        console.print("the plugin's own functions, with what they call outside of it:")
        for name, spent in hot:
            console.print(f"  {spent / total:6.1%}  {name}", markup=False)
        for line in self.said:
            console.print(line, markup=False, soft_wrap=True)


_COUNTED = _Watch.counted.__code__


def _has_writes(graph: Any) -> bool:
    """Return whether a traced function, or one that it calls (loops, branches), writes a variable."""
    document = graph.as_graph_def()
    nodes = [*document.node, *(node for function in document.library.function for node in function.node_def)]
    return any(node.op.startswith(WRITES) for node in nodes)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise UsageError(f"{name} is {text!r}; it must be a number") from error
    require(number >= 0, f"{name} is {text}; it must be 0 or more")
    return number
