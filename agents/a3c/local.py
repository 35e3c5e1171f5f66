"""A3C's workers on one machine: threads or processes around shared arrays that nobody locks."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, cast

import numpy as np

from agents.a3c.config import A3CConfig
from agents.a3c.worker import Report, Worker, rmsprop
from core.errors import UsageError, told

__all__ = ["Backend", "Processes", "Threads"]


class Backend(Protocol):
    """Workers, wherever they run, around shared weights. Between two calls of `run` they stand still."""

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of theta and g, each [P]."""
        ...

    def load_weights(self, theta: np.ndarray, g: np.ndarray) -> None: ...

    def run(self, updates: int, lr: float) -> list[Report]:
        """Let the workers make `updates` updates together (up to one more for each other worker) and wait for them."""
        ...

    def states(self) -> list[dict[str, Any] | None]:
        """Return the state of each worker, None for lost ones."""
        ...

    def load_states(self, states: list[dict[str, Any] | None]) -> None: ...

    def close(self) -> None: ...


class Shared:
    """Weights theta [P], statistics g [P], updates done by each worker [W] and where to stop: written by all, locked by none.

    Every worker counts in a place of its own, so no count is lost; `buffer` makes arrays that all of them can see. With a `lock`
    the workers take turns, for which there are the weights and the count at the beginning of a `run`, too.
    """

    def __init__(self, buffer: Callable[[str, int], Any], size: int, workers: int, lock: Any = None):
        self.buffers = [*(buffer("f", size) for _ in range(3)), buffer("q", workers), buffer("q", 2), buffer("d", 1)]
        self.lock = lock
        self.attach()

    def attach(self) -> None:
        """Make arrays over the buffers; done again in each process."""
        theta, g, begin, done, limits, lr = self.buffers
        self.theta, self.g, self.begin = (np.frombuffer(buffer, np.float32) for buffer in (theta, g, begin))
        self.done, self.lr = np.frombuffer(done, np.int64), np.frombuffer(lr, np.float64)
        self.first, self.target = np.split(np.frombuffer(limits, np.int64), 2)

    def prepare(self, updates: int, lr: float) -> None:
        """Ask for so many updates; the workers stand still."""
        self.first[0] = self.done.sum()
        self.target[0], self.lr[0], self.begin[:] = self.first[0] + updates, lr, self.theta

    def __getstate__(self) -> dict[str, Any]:
        return {"buffers": self.buffers, "lock": self.lock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.buffers, self.lock = state["buffers"], state["lock"]
        self.attach()


WAIT = 2e-5  # seconds between two looks whether it is a worker's turn
LOOKS = 1_000  # of these between two whether the launcher is still there


def work_in_turn(worker: Worker, shared: Shared, number: int) -> Report:
    """Make every W-th update, from the `number`-th on, each in its turn, and copy theta in the same turn.

    So the order of all updates and copies is always the same. Of W workers each applies a gradient for weights that are W - 1
    updates old, but for its first, for which all have the weights that the `run` began with.
    """
    report, config, workers = Report(), worker.config, len(shared.done)
    theta, read, launcher = shared.begin.copy(), int(shared.first[0]), multiprocessing.parent_process()
    for update in range(read + number, int(shared.target[0]), workers):
        gradient = worker.learn(theta, report)
        for look in itertools.count(1):
            if shared.done.sum() == update:
                break
            # Another one has failed, or was never asked, since the launcher is gone.
            if shared.target[0] == 0 or (look % LOOKS == 0 and launcher is not None and not launcher.is_alive()):
                return report
            time.sleep(WAIT)
        with shared.lock:  # what it guards is seen whole by whoever takes it next
            report.staleness.append(update - read)
            rmsprop(shared.theta, shared.g, gradient, float(shared.lr[0]), config.decay, config.epsilon)
            theta, read = shared.theta.copy(), update + 1
            shared.done[number] += 1
    return report


def work(worker: Worker, shared: Shared, number: int) -> Report:
    """Update until all workers together have made enough updates."""
    if shared.lock is not None:
        return work_in_turn(worker, shared, number)
    report = Report()
    config = worker.config
    while (read := int(shared.done.sum())) < shared.target[0]:
        gradient = worker.learn(shared.theta.copy(), report)
        report.staleness.append(int(shared.done.sum()) - read)
        rmsprop(shared.theta, shared.g, gradient, float(shared.lr[0]), config.decay, config.epsilon)
        shared.done[number] += 1
    return report


class Threads:
    """Workers as threads: no start-up cost, but Python runs one of them at a time."""

    def __init__(self, config: A3CConfig, seed: int, workers: int, initial: np.ndarray, in_turn: bool = False):
        """`in_turn`: the workers' updates keep to an order."""
        lock = threading.Lock() if in_turn else None
        self._shared = Shared(lambda kind, size: bytearray(np.dtype(kind).itemsize * size), len(initial), workers, lock)
        self._shared.theta[:] = initial
        self._workers = [Worker(config, seed, number) for number in range(workers)]

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        return self._shared.theta.copy(), self._shared.g.copy()

    def load_weights(self, theta: np.ndarray, g: np.ndarray) -> None:
        self._shared.theta[:], self._shared.g[:] = theta, g

    def run(self, updates: int, lr: float) -> list[Report]:
        shared = self._shared
        shared.prepare(updates, lr)
        reports: list[Report] = [Report() for _ in self._workers]
        failures: list[BaseException] = []

        def target(number: int) -> None:
            try:
                reports[number] = work(self._workers[number], shared, number)
            except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
                failures.append(error)
                shared.target[0] = 0  # the others stop after their update, too

        threads = [threading.Thread(target=target, args=(number,)) for number in range(len(self._workers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return reports

    def states(self) -> list[dict[str, Any] | None]:
        return [worker.state() for worker in self._workers]

    def load_states(self, states: list[dict[str, Any] | None]) -> None:
        for worker, state in zip(self._workers, states, strict=True):
            if state is not None:
                worker.load_state(state)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


class Processes:
    """Workers as processes around shared memory. One that dies is reported; the others go on."""

    def __init__(
        self,
        config: A3CConfig,
        seed: int,
        workers: int,
        initial: np.ndarray,
        precision: str,
        say: Callable[[str], None],
        in_turn: bool = False,
    ):
        """`in_turn`: the workers' updates keep to an order."""
        context = _processes()
        lock = context.Lock() if in_turn else None
        self._shared = Shared(lambda kind, size: context.RawArray(kind, size), len(initial), workers, lock)
        self._shared.theta[:] = initial
        self._say = say
        self._plays = config.env.id
        self._pipes: list[Connection | None] = []
        self._processes = []
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, self._shared, config, seed, number, precision), daemon=True
            )
            with _signals_ignored():
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        atexit.register(self.close)  # before multiprocessing's own, which waits for workers that still listen
        try:
            self._ask("ready")
        except BaseException:
            self.close()
            raise

    def _ask(self, verb: str, argument: list[Any] | None = None) -> list[Any]:
        """Send a request to every worker alive, with its own argument, and return the answers, None where there is none."""
        for number, pipe in enumerate(self._pipes):
            if pipe is not None:
                try:
                    pipe.send((verb, argument[number] if argument else None))
                except OSError:
                    self._lost(number)
        answers: list[Any] = [None] * len(self._pipes)
        waiting = {pipe: number for number, pipe in enumerate(self._pipes) if pipe is not None}
        while waiting:  # in the order in which they answer: one may wait for another, which is dead
            for pipe in cast("list[Connection]", wait(list(waiting))):
                number = waiting.pop(pipe)
                try:
                    answers[number] = pipe.recv()
                except (EOFError, OSError):
                    self._lost(number)
                if isinstance(answers[number], Exception):
                    self._shared.target[0] = 0
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _lost(self, number: int) -> None:
        process = self._processes[number]
        process.join(5)
        self._pipes[number] = None
        left = sum(pipe is not None for pipe in self._pipes)
        if self._shared.lock is not None and left:
            self._shared.target[0] = 0  # the others wait for its turn
            raise UsageError(
                f"worker {number} ended with exit code {process.exitcode}, and in a deterministic run no other can take its turn "
                f"(it played {self._plays!r}); resume the run"
            )
        if not left:
            raise UsageError(
                f"worker {number} ended with exit code {process.exitcode} and there is none left (it played {self._plays!r}); "
                "resume the run"
            )
        self._say(
            f"warning: worker {number} ended with exit code {process.exitcode}; training goes on with {left} "
            f"(it played {self._plays!r})"
        )

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        return self._shared.theta.copy(), self._shared.g.copy()

    def load_weights(self, theta: np.ndarray, g: np.ndarray) -> None:
        self._shared.theta[:], self._shared.g[:] = theta, g

    def run(self, updates: int, lr: float) -> list[Report]:
        self._shared.prepare(updates, lr)
        return [report for report in self._ask("work") if report is not None]

    def states(self) -> list[dict[str, Any] | None]:
        return self._ask("state")

    def load_states(self, states: list[dict[str, Any] | None]) -> None:
        self._ask("load_state", states)

    def close(self) -> None:
        atexit.unregister(self.close)
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()  # a worker ends when nobody is at the other end
        self._pipes = [None] * len(self._pipes)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()


def _processes() -> Any:
    """Return where workers come from: forks of a server that imports TensorFlow once for all of them and computes nothing.

    A fork of this process, whose TensorFlow has threads, would hang.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["agents.a3c.worker"])
    return context


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """A process started in here ignores Ctrl-C and SIGTERM from its first moment on.

    Both may reach the whole group (a terminal, a batch system, `timeout`); the launcher saves and then lets the workers end.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _serve(pipe: Connection, shared: Shared, config: A3CConfig, seed: int, number: int, precision: Any) -> None:
    """A worker process: answer requests until the other end is gone."""
    for group_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(group_signal, signal.SIG_IGN)  # they reach the whole group; the launcher decides when to stop
    from core.runtime import configure

    worker = None
    while True:
        try:
            verb, argument = pipe.recv()
        except EOFError:
            break
        try:
            if worker is None:
                configure(device="cpu", threads=1, precision=precision, deterministic=shared.lock is not None)
                worker = Worker(config, seed, number)
            answer: Any = None
            if verb == "work":
                answer = work(worker, shared, number)
            elif verb == "state":
                answer = worker.state()
            elif verb == "load_state" and argument is not None:
                worker.load_state(argument)
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for, as one that can be sent
            answer = error if isinstance(error, UsageError) else RuntimeError(f"{type(error).__name__}: {told(error)}")
            answer.add_note(f"in worker {number}:\n{traceback.format_exc()}")
        try:
            pipe.send(answer)
        except OSError:  # nobody listens any more
            break
    if worker is not None:
        worker.close()
