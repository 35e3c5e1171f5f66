"""A3C's workers as Ray actors, on this machine or a cluster. A parameter actor holds the shared weights."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import numpy as np

from agents.a3c.config import A3CConfig
from agents.a3c.worker import Report, Worker, rmsprop
from core.errors import UsageError, foreign

try:
    import ray
    from ray.exceptions import RayActorError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as error:
    raise UsageError("backend ray needs the package ray: install pongan[ray], or use backend processes") from error

__all__ = ["Ray"]


class Parameters:
    """Theta [P] and g [P]. Ray calls its methods one at a time, so no update is lost; gradients come as they come."""

    def __init__(self, theta: np.ndarray, decay: float, epsilon: float):
        self.decay, self.epsilon = decay, epsilon
        self.load(theta, np.zeros_like(theta))

    def load(self, theta: np.ndarray, g: np.ndarray) -> None:
        self.theta, self.g, self.updates = theta.copy(), g.copy(), 0

    def read(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return theta, g and the number of updates so far."""
        return self.theta, self.g, self.updates

    def apply(self, gradient: np.ndarray, read: int, lr: float) -> int:
        """Apply a gradient that belongs to the weights after `read` updates; return how many others came in between."""
        rmsprop(self.theta, self.g, gradient, lr, self.decay, self.epsilon)
        self.updates += 1
        return self.updates - 1 - read


class RemoteWorker:
    """A `Worker` that reads and updates the parameter actor."""

    def __init__(self, config: A3CConfig, seed: int, number: int, precision: Any, parameters: Any):
        from core.runtime import configure

        configure(device="cpu", threads=1, precision=precision)
        self.worker = Worker(config, seed, number)
        self.parameters = parameters

    def update(self, lr: float) -> Report:
        """Make one update."""
        report = Report()
        theta, _, read = ray.get(self.parameters.read.remote())
        gradient = self.worker.learn(theta, report)
        report.staleness.append(ray.get(self.parameters.apply.remote(gradient, read, lr)))
        return report

    def state(self) -> dict[str, Any]:
        return self.worker.state()

    def load_state(self, tree: dict[str, Any]) -> None:
        self.worker.load_state(tree)


class Ray:
    """Workers that Ray spreads over the cluster. One that is lost with its node is reported; the others go on."""

    def __init__(
        self,
        config: A3CConfig,
        seed: int,
        workers: int,
        initial: np.ndarray,
        precision: str,
        say: Callable[[str], None],
    ):
        self._say = say
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            _check(config.ray_address)
            try:
                ray.init(address=config.ray_address or None, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageError(_unreachable(config.ray_address, str(error).splitlines()[0])) from error
        free = int(ray.available_resources().get("CPU", 0))
        if workers > free:
            self.close()
            raise UsageError(f"workers is {workers}, but the Ray cluster has {free} free CPUs; each worker takes one")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._parameters: Any = (
            ray.remote(Parameters)
            .options(num_cpus=0, scheduling_strategy=here)
            .remote(initial, config.decay, config.epsilon)
        )
        actor = ray.remote(RemoteWorker).options(num_cpus=1, scheduling_strategy="SPREAD")
        self._workers: list[Any] = [
            actor.remote(config, seed, number, precision, self._parameters) for number in range(workers)
        ]

    def _lost(self, number: int, error: RayActorError) -> None:
        self._workers[number] = None
        left = sum(worker is not None for worker in self._workers)
        reason = str(error).strip().splitlines()[-1]
        if not left:
            raise UsageError(f"worker {number} was lost and there is none left; resume the run ({reason})")
        self._say(f"warning: worker {number} was lost ({reason}); training goes on with {left}")

    def _ask(self, verb: str, arguments: list[Any] | None = None) -> list[Any]:
        """Call a method of every worker alive, with its own argument, and return the answers, None where there is none."""
        calls = []
        for number, worker in enumerate(self._workers):
            argument = () if arguments is None else (arguments[number],)
            wanted = worker is not None and argument != (None,)
            calls.append(getattr(worker, verb).remote(*argument) if wanted else None)
        answers = []
        for number, call in enumerate(calls):
            answer = None
            if call is not None:
                try:
                    answer = _answer(call)
                except RayActorError as error:
                    self._lost(number, error)
            answers.append(answer)
        return answers

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        theta, g, _ = ray.get(self._parameters.read.remote())
        return theta.copy(), g.copy()

    def load_weights(self, theta: np.ndarray, g: np.ndarray) -> None:
        ray.get(self._parameters.load.remote(theta, g))

    def run(self, updates: int, lr: float) -> list[Report]:
        reports: list[Report] = []
        running: dict[Any, int] = {}
        begun = 0

        def start(number: int) -> None:
            nonlocal begun
            if begun < updates and self._workers[number] is not None:
                running[self._workers[number].update.remote(lr)] = number
                begun += 1

        for number in range(len(self._workers)):
            start(number)
        while running:
            (call,), _ = ray.wait(list(running))
            number = running.pop(call)
            try:
                reports.append(_answer(call))
            except RayActorError as error:
                self._lost(number, error)
                begun -= 1  # another worker makes this update
                idle = [i for i, w in enumerate(self._workers) if w is not None and i not in running.values()]
                for i in idle:
                    start(i)
                continue
            start(number)
        return reports

    def states(self) -> list[dict[str, Any] | None]:
        return self._ask("state")

    def load_states(self, states: list[dict[str, Any] | None]) -> None:
        self._ask("load_state", states)

    def close(self) -> None:
        for actor in [*getattr(self, "_workers", []), getattr(self, "_parameters", None)]:
            if actor is not None:
                ray.kill(actor)
        self._workers, self._parameters = [], None
        if self._started_ray:
            ray.shutdown()


def _answer(call: Any) -> Any:
    """Return what a worker answers; what it raised comes as one sentence, as from a worker on this machine."""
    try:
        return ray.get(call)
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, UsageError) else foreign("an a3c worker", cause) from error


def _check(address: str) -> None:
    """Refuse host:port where nobody listens: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # empty or `auto`: Ray answers at once
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UsageError(_unreachable(address, str(error))) from error


def _unreachable(address: str, reason: str) -> str:
    return f"ray_address {address!r} cannot be reached ({reason}); give host:port of a running cluster, or auto"
