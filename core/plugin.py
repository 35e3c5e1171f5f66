"""The plugin contract: what an agent or a generative model is to the launcher. Standard library only.

A plugin is two things: a frozen configuration dataclass under `@register(...)`, in a module that imports no TensorFlow,
and a class named by `build`, constructed as `Plugin(config, context)`, with the members of `Trainable`. Nothing is inherited.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from core.errors import UsageError, nearest

__all__ = ["REGISTRY", "Context", "Placed", "Spec", "Trainable", "build", "canonical", "register"]

Kind = Literal["agent", "generative"]
MEMBERS: dict[str, tuple[str, ...]] = {
    "agent": ("clock", "step", "evaluate", "state", "load_state", "close", "act"),
    "generative": ("clock", "step", "evaluate", "state", "load_state", "close", "sample"),
}


@runtime_checkable
class Trainable(Protocol):
    """What the launcher calls. Agents also have `act(observations) -> actions`, generative models `sample(n, seed=...)`.

    `clock` is the x-axis of every plot: environment steps for agents, updates for generative models.

    Three members are optional. `pictures`, a mapping of name -> function (n, seed) -> images uint8, has what the verb `sample`
    can draw beside samples; `sample_text(text, n, seed)` draws images uint8 of a caption. `exportable()` returns what the verb
    `export` saves, a mapping of name -> `tf.function` with an `input_signature` of named TensorSpecs whose first axis is the
    batch. Each returns a mapping of name -> tensor, depends on variables alone (a mirror in numpy would be frozen into the
    file), and says in its docstring what goes in and comes out.
    """

    clock: int

    def step(self) -> Mapping[str, Any]:
        """Run one turn of the training loop (at most about 0.2 s) and return scalars by tag.

        A scalar may be a float, a tensor that nobody has waited for yet, or an array: each entry counts as one
        observation of the mean over the log interval. Tags start with a name from `experiments.launcher.events.GLOSSARY`.
        """
        ...

    def evaluate(self) -> Mapping[str, Any]:
        """Measure the current weights without touching the training state: no counter, no random stream may move.

        Returns `eval/*` scalars; optionally `samples/*` images [N, H, W, C] uint8, `video/*` [T, H, W, C] uint8 and
        `eval/protocol`, a sentence that says how the numbers were made.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return everything needed to carry on, as a tree for `core.checkpoint`.

        Keras models, optimisers, variables and random generators in it are restored in place. The best weights are kept
        as models and variables only, so whatever `act` or `sample` needs (running statistics too) is one of those.
        """
        ...

    def load_state(self, tree: dict[str, Any]) -> None:
        """Take back the arrays and plain values of a `state()` tree; what is restored in place already is."""
        ...

    def close(self) -> None:
        """Join workers, close environments. May be called twice."""
        ...


class Placed(ABC):
    """Settings, nested in a plugin's configuration, of which some may say where files lie."""

    @property
    @abstractmethod
    def places(self) -> tuple[str, ...]:
        """Its fields that do so now. Their values may change on resume: the files have moved, the run stays the same."""


@dataclass(frozen=True)
class Context:
    """What a plugin is told about the run it lives in, so that none needs an edit when one of these changes."""

    seed: int
    folder: Path
    """Scratch folder for the plugin's own files, inside the run's folder."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute type; losses, normalisation statistics and optimisers stay float32."""
    rewind: int = 0
    """How far behind the clock the oldest checkpoint may lie that is kept, so that a resume may begin there."""
    strategy: Any = None
    """A tf.distribute.Strategy, or None for one device. The plugin is built and trained in its scope."""
    say: Callable[[str], None] = field(default=lambda line: None, repr=False)
    """Prints one line for the user without breaking the progress bar."""


@dataclass(frozen=True)
class Spec:
    """A registered plugin: all the launcher knows without importing TensorFlow."""

    name: str
    kind: Kind
    config: type
    build: str
    """`module:Class`, imported when a run starts."""
    headline: str
    """The tag by which runs are ranked, e.g. `eval/return_mean`."""
    goal: Literal["max", "min"]
    clock: str
    """What the x-axis counts, e.g. `environment steps`."""
    summary: str
    """One line for `list`."""
    description: str
    """The algorithm in two sentences, for `describe`."""
    paper: str
    """Link to the paper."""
    subject: str
    """Dotted path of the configuration field that names what is learned from; runs are grouped by its value."""
    tiny: Mapping[str, Any]
    """Configuration of the contract test (seconds, one worker, smallest data), by dotted field name."""
    run: Mapping[str, Any]
    """Defaults for `--run.*` that suit this plugin's clock, e.g. {"until": 100_000, "log_every": 1_000}."""
    verbs: Mapping[str, str]
    """Verbs that only this plugin has: name -> module with `Flags` and `main`, see `experiments/launcher/verbs.py`."""
    places: tuple[str, ...] = ()
    """Dotted configuration fields that say where files lie, which may move while the run stays the same; by default those that
    nested settings name which are `Placed`, as data sources are."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Dotted configuration fields that had another name: old -> new; the new one may be the launcher's, e.g. run.until."""
    distributed: bool = False
    """True when it trains under `Context.strategy` as on one device, its batch shared out (see core/distributed.py)."""

    @property
    def prefix(self) -> str:
        """Flag prefix of its configuration: `agent` or `model`."""
        return "agent" if self.kind == "agent" else "model"


REGISTRY: dict[str, Spec] = {}
_Config = TypeVar("_Config", bound=type)


def canonical(name: str) -> str:
    """Return the one spelling of a plugin or preset name: `GAN_cls` and `gan-cls` are the same.

    >>> canonical("GAN_cls")
    'gan-cls'
    """
    return name.strip().lower().replace("_", "-")


def register(
    name: str,
    *,
    kind: Kind,
    build: str,
    headline: str,
    goal: Literal["max", "min"],
    clock: str,
    summary: str,
    subject: str,
    description: str = "",
    paper: str = "",
    tiny: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    verbs: Mapping[str, str] | None = None,
    places: tuple[str, ...] = (),
    renamed: Mapping[str, str] | None = None,
    distributed: bool = False,
) -> Callable[[_Config], _Config]:
    """Register a frozen configuration dataclass as the plugin `name`; the arguments are the fields of `Spec`.

    Raises UsageError when the name is taken or malformed, or the class is no frozen dataclass with defaults.
    """

    def decorate(config: _Config) -> _Config:
        where = f"{config.__module__}.{config.__qualname__}"
        key = canonical(name)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", key):
            raise UsageError(
                f"plugin name {name!r} ({where}) must be letters, digits and hyphens, starting with a letter"
            )
        if not (dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen):  # type: ignore[attr-defined]
            raise UsageError(f"the configuration of plugin {key!r} ({where}) must be a dataclass with frozen=True")
        bare = [
            f.name
            for f in dataclasses.fields(config)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if bare:
            raise UsageError(f"the configuration of plugin {key!r} ({where}) needs a default for {', '.join(bare)}")
        if kind not in MEMBERS:
            raise UsageError(f"plugin {key!r} ({where}) has kind {kind!r}; {nearest(str(kind), MEMBERS)}")
        if goal not in ("max", "min"):
            raise UsageError(f"plugin {key!r} ({where}) has goal {goal!r}; {nearest(str(goal), ['max', 'min'])}")
        if not re.fullmatch(r"[\w.]+:\w+", build):
            raise UsageError(f"plugin {key!r} ({where}) has build={build!r}; it must read 'package.module:Class'")
        taken = REGISTRY.get(key)
        if taken is not None and f"{taken.config.__module__}.{taken.config.__qualname__}" != where:
            raise UsageError(
                f"plugin name {key!r} ({where}) is already taken by {taken.config.__module__}.{taken.config.__qualname__}"
            )
        REGISTRY[key] = Spec(
            name=key,
            kind=kind,
            config=config,
            build=build,
            headline=headline,
            goal=goal,
            clock=clock,
            summary=summary,
            description=description or summary,
            paper=paper,
            subject=subject,
            tiny=dict(tiny or {}),
            run=dict(run or {}),
            verbs=dict(verbs or {}),
            places=places,
            renamed=dict(renamed or {}),
            distributed=distributed,
        )
        return config

    return decorate


def build(spec: Spec, config: Any, context: Context) -> Any:
    """Import the plugin's class, construct it and check that every member of the contract is there.

    Raises UsageError naming what is missing; errors raised by the plugin's own code pass through.
    """
    module, _, attribute = spec.build.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"plugin {spec.name!r} names build={spec.build!r}, but there is no module {error.name!r}"
        ) from error
    except AttributeError as error:
        raise UsageError(
            f"plugin {spec.name!r} names build={spec.build!r}, but {module} has no {attribute!r}"
        ) from error
    members = MEMBERS[spec.kind]
    plugin = factory(config, context)
    missing = [member for member in members if not hasattr(plugin, member)]
    if missing:
        raise UsageError(
            f"plugin {spec.name!r} ({spec.build}) lacks {', '.join(missing)}; the contract is {', '.join(members)}"
        )
    return plugin
