"""A3C's workers on one machine: threads or processes around shared arrays that nobody locks."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Protocol

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

    Every worker counts in a place of its own, so no count is lost; `buffer` makes arrays that all of them can see.
    """

    def __init__(self, buffer: Callable[[str, int], Any], size: int, workers: int):
        self.buffers = [buffer("f", size), buffer("f", size), buffer("q", workers), buffer("q", 1), buffer("d", 1)]
        self.attach()

    def attach(self) -> None:
        """Make arrays over the buffers; done again in each process."""
        theta, g, done, target, lr = self.buffers
        self.theta, self.g = np.frombuffer(theta, np.float32), np.frombuffer(g, np.float32)
        self.done, self.target = np.frombuffer(done, np.int64), np.frombuffer(target, np.int64)
        self.lr = np.frombuffer(lr, np.float64)

    def __getstate__(self) -> dict[str, Any]:
        return {"buffers": self.buffers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.buffers = state["buffers"]
        self.attach()


def work(worker: Worker, shared: Shared, number: int) -> Report:
    """Update until all workers together have made enough updates."""
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

    def __init__(self, config: A3CConfig, seed: int, workers: int, initial: np.ndarray):
        self._shared = Shared(lambda kind, size: bytearray(np.dtype(kind).itemsize * size), len(initial), workers)
        self._shared.theta[:] = initial
        self._workers = [Worker(config, seed, number) for number in range(workers)]

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        return self._shared.theta.copy(), self._shared.g.copy()

    def load_weights(self, theta: np.ndarray, g: np.ndarray) -> None:
        self._shared.theta[:], self._shared.g[:] = theta, g

    def run(self, updates: int, lr: float) -> list[Report]:
        shared = self._shared
        shared.target[0], shared.lr[0] = shared.done.sum() + updates, lr
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
    ):
        context = _processes()
        self._shared = Shared(lambda kind, size: context.RawArray(kind, size), len(initial), workers)
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
        answers: list[Any] = []
        for number, pipe in enumerate(self._pipes):
            answer = None
            if pipe is not None:
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    self._lost(number)
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def _lost(self, number: int) -> None:
        process = self._processes[number]
        process.join(5)
        self._pipes[number] = None
        left = sum(pipe is not None for pipe in self._pipes)
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
        self._shared.target[0], self._shared.lr[0] = self._shared.done.sum() + updates, lr
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
                configure(device="cpu", threads=1, precision=precision)
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
