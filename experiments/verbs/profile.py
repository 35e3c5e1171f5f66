"""Where the time of a training step goes.

An alarm interrupts the training every few milliseconds and looks at its stack. A thread could not: it would get the interpreter
mostly where the training waits or computes in native code, and hardly ever see its Python code. The profile knows rooms, not
plugins: modules that are environments or data, and TensorFlow functions that write variables, which is what an update is and
acting is not.
"""

from __future__ import annotations

import dis
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

from core.errors import require
from experiments.launcher.experiment import Experiment
from experiments.launcher.training import start

__all__ = ["Flags", "Sampler", "main"]

PERIOD = 0.003  # seconds between two alarms
ENVIRONMENT = ("envs", "gymnasium", "ale_py", "Box2D", "pygame")
DATA = ("generative.data", "core.replay", "core.sum_tree", "core.iterate", "PIL")
WAITING = ("threading", "queue", "selectors", "concurrent.futures", "multiprocessing", "ray", "subprocess")
TRACED = "tensorflow.python.eager.polymorphic_function"  # where TensorFlow calls its traced functions
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
BEGINS = dis.opmap["RESUME"]  # the instruction at which a function begins or goes on, and answers alarms from before


Call = tuple[CodeType, str, Any]
"""A function on the stack: its code, its module, and the TensorFlow function whose method it is, None for all others."""
Key = tuple[str | None, tuple[CodeType, ...], CodeType | None]
"""Room, if a rule claims one; the functions between step and there; the innermost function of the plugin."""


class Sampler:
    """Looks at what the main thread is doing whenever the alarm rings, and counts the alarms by stack, in `alarms`.

    Python answers an alarm between two instructions, so one that rings during a native call is answered when the call returns,
    in the function that made it, and together with all others that rang meanwhile: they count for that function too.

    The signal itself needs a stack of its own, which Loop.train sees to: while oneDNN multiplies matrices the stack pointer is in
    the heap, which a signal would overwrite (uxlfoundation/oneDNN#4845, still in TensorFlow 2.21). Only the main thread has one.
    """

    def __init__(self, loop: Any):
        self.alarms: dict[tuple[Call, ...], int] = defaultdict(int)
        self.failure: Exception | None = None  # of a look; its alarms count with the next
        self._before: tuple[Any, Any, Any] | None = None  # handler, timer and blocked signals; None: not sampling
        self._begun, self._answered, self._looking = 0.0, 0, False
        self._writers: dict[int, bool] = {}  # by id of the TensorFlow function, which `alarms` keeps alive
        package = type(loop.plugin).__module__.rpartition(".")[0]
        self._own = package or type(loop.plugin).__module__
        cls = type(loop)
        self._train = cls.train.__code__
        self._rooms = {cls._evaluate.__code__: "evaluation", cls.save.__code__: "saving"}

    @property
    def sampling(self) -> bool:
        return self._before is not None

    def start(self) -> None:
        """Set the alarm. Only the main thread can, and it is the one that is watched."""
        self._begun, self._answered = time.perf_counter(), 0
        timer, handler = signal.setitimer(signal.ITIMER_REAL, 0), signal.signal(signal.SIGALRM, self._look)
        signal.siginterrupt(signal.SIGALRM, False)  # system calls of native code go on, as if no alarm had rung
        self._before = handler, timer, signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)

    def finish(self) -> None:
        """Put everything back as `start` found it; a second call does nothing."""
        if self._before is None:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        handler, (delay, interval), blocked = self._before
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)  # None: not set from Python, and out of its reach
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if delay:
            signal.setitimer(signal.ITIMER_REAL, max(delay - (time.perf_counter() - self._begun), PERIOD), interval)
        self._before = None

    def _look(self, number: int, frame: FrameType | None) -> None:
        """Count the alarms since the last look. It may interrupt anything, so it takes no lock and leaves TensorFlow alone."""
        if self._looking:  # the alarm rang during a look
            return
        self._looking = True
        try:
            rung = int((time.perf_counter() - self._begun) / PERIOD)
            stack = self._stack(frame)
            if stack is not None:
                self.alarms[stack] += rung - self._answered
            self._answered = rung
        except Exception as error:  # noqa: BLE001 - nothing may reach the training; `report` says it
            self.failure = error
        finally:
            self._looking = False

    def _stack(self, frame: FrameType | None) -> tuple[Call, ...] | None:
        """Return what `train` called, outermost first; None outside of it."""
        if frame is not None and frame.f_code.co_code[frame.f_lasti] == BEGINS:  # the alarm rang before this call
            frame = frame.f_back
        stack: list[Call] = []
        while frame is not None and frame.f_code is not self._train:
            module, function = _module(frame), None
            if _within(module, (TRACED,)):
                function = frame.f_locals.get("self")
            stack.append((frame.f_code, module, function if hasattr(type(function), "graph") else None))
            frame = frame.f_back
        return None if frame is None else tuple(reversed(stack))

    def classify(self, stack: tuple[Call, ...]) -> Key | None:
        """Return the key of a stack, None for the profile's own work; room None is decided in `table`."""
        if not stack or stack[0][0] in self._rooms:
            return self._rooms[stack[0][0]] if stack else "logging", (), None
        if stack[0][0] is _COUNTED:
            stack = stack[1:]
            if not stack or stack[0][1] == __name__:
                return None
        elif _within(stack[0][1], ("experiments",)):
            return "logging", (), None
        path: list[CodeType] = []
        for call in stack[1:]:  # stack[0] is step itself
            code, module, _ = call
            if _within(module, ENVIRONMENT):
                return "environment", tuple(path), self._innermost(stack)
            if _within(module, DATA):
                return "data", tuple(path), self._innermost(stack)
            if self._writes_variables(call):
                return "update", tuple(path), self._innermost(stack)
            path.append(code)
        return "workers" if _within(stack[-1][1], WAITING) else None, tuple(path), self._innermost(stack)

    def _innermost(self, stack: tuple[Call, ...]) -> CodeType | None:
        return next((code for code, module, _ in reversed(stack) if _within(module, (self._own,))), None)

    def _writes_variables(self, call: Call) -> bool:
        code, module, function = call
        assigns = module.endswith("resource_variable_ops") and code.co_name.startswith("assign")
        if assigns or module.startswith(("keras.src.optimizers", "core.optim")):
            return True
        if function is None:
            return False
        if id(function) not in self._writers:
            self._writers[id(function)] = _has_writes(function.graph)
        return self._writers[id(function)]

    def seconds(self) -> dict[Key, float]:
        """Return seconds by key."""
        seconds: dict[Key, float] = defaultdict(float)
        for stack, alarms in self.alarms.items():
            key = self.classify(stack)
            if key is not None:
                seconds[key] += alarms * PERIOD
        return seconds

    def table(self) -> dict[str, float]:
        """Return seconds by room. What no rule claimed belongs to the update if what `step` called also leads to one."""
        found = self.seconds()
        updating = {path[:1] for room, path, _ in found if room == "update" and path}
        rooms: dict[str, float] = defaultdict(float)
        for (room, path, _), seconds in found.items():
            rooms[room or ("update" if path[:1] in updating else "acting")] += seconds
        return dict(rooms)

    def hot(self) -> list[tuple[str, float]]:
        """Return the plugin's functions by the time spent in them and in what is not the plugin's below them."""
        functions: dict[str, float] = defaultdict(float)
        for (_, _, code), seconds in self.seconds().items():
            if code is not None:
                functions[f"{code.co_qualname} (line {code.co_firstlineno})"] += seconds
        return sorted(functions.items(), key=lambda item: -item[1])[:HOT]


@dataclass(frozen=True)
class Flags:
    """Train for a few seconds and print where the time of a training step goes.

    The run stays as an ordinary folder, with a trace for TensorBoard's profile page in it.
    """

    seconds: float = 20.0
    """How long to sample."""
    warm_up: float = 5.0
    """Seconds to let pass before: the first steps build TensorFlow's functions."""
    trace: int = 10
    """Steps for TensorBoard's trace, between warm-up and sampling; 0 for no trace."""

    def __post_init__(self) -> None:
        for name in ("seconds", "warm_up", "trace"):
            value, flag = getattr(self, name), "--" + name.replace("_", "-")
            require(0 <= value < float("inf"), f"{flag} is {value:g}; it must be 0 or more, and finite")


def main(experiment: Experiment, flags: Flags) -> int:
    require(
        threading.current_thread() is threading.main_thread(),
        "profile was called in a thread; it works only in the main thread, the one that an alarm interrupts",
    )
    given = {word.partition("=")[0].replace("_", "-") for word in experiment.words}
    quiet: dict[str, Any] = {"eval_every": 0, "save_every": 0, "tag": "profile"}
    changed = {name: value for name, value in quiet.items() if f"--run.{name.replace('_', '-')}" not in given}
    watch = _Watch(flags.seconds, flags.warm_up, flags.trace)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # also in all threads that begin from here on
    try:
        code = start(replace(experiment, settings=replace(experiment.settings, **changed)), watch.begin).code
    finally:
        watch.stop()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
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
        self.sampler = Sampler(loop)
        self.loop, self.step = loop, loop.plugin.step
        self.begun: float | None = None
        self.sampled_since = 0.0
        self.tracing = 0
        loop.plugin.step = self.counted

    def counted(self) -> Any:
        now = time.perf_counter()
        self.begun = self.begun or now
        sampling = self.sampler.sampling
        if not sampling and now - self.begun >= self.warm_up:
            if self.tracing < self.traced:
                self._trace(now)
            else:
                self._end_trace()
                self.sampled_since, self.clock = time.perf_counter(), self.loop.plugin.clock
                self.sampler.start()
        elif sampling:
            self.steps += 1
            self.duration, self.ticks = now - self.sampled_since, self.loop.plugin.clock - self.clock
            if self.duration >= self.seconds:
                self.stop()
                self.loop.stop_soon()
        return self.step()

    def stop(self) -> None:
        """End trace and sampling; however the run came to its end, both are over after this."""
        if self.loop is None:
            return
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
        if self.sampler.failure is not None:
            self.said.append(f"looks failed, the last with {self.sampler.failure!r}; their time counts with the next")
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
