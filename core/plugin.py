"""The plugin contract: what an agent or a generative model is to the launcher. Standard library only.

A plugin is two things: a frozen configuration dataclass under `@register(...)`, in a module that imports no TensorFlow, and a
final class named by `build`, constructed as `Plugin(config, context)`, which inherits from `Agent` or `Generator` and from the
abilities that it has beyond them: `Draws`, `DrawsText`, `Writes`, `Embeds`, `Exports`, `FindsAnomalies`, `Translates`. Nothing
else is inherited.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from core.errors import UsageError, nearest
from core.seeds import child

__all__ = [
    "GROUPS",
    "REGISTRY",
    "Agent",
    "Context",
    "Draws",
    "DrawsText",
    "Embeds",
    "Exports",
    "FindsAnomalies",
    "Generator",
    "Placed",
    "Player",
    "Plugin",
    "RangeTest",
    "Spec",
    "Translates",
    "Writes",
    "build",
    "canonical",
    "imported",
    "register",
]

Kind = Literal["agent", "generative"]


class Plugin(ABC):
    """What the launcher trains.

    `clock` is the x-axis of every plot: environment steps for agents, updates for generative models. It never falls.
    """

    clock: int
    learns_with: tuple[str, ...] = ()
    """Dotted names in `state()` of models that only learning needs, such as a discriminator: an entry of the zoo goes without."""

    @abstractmethod
    def step(self) -> Mapping[str, Any]:
        """Run one turn of the training loop (at most about 0.2 s) and return scalars by tag.

        A scalar may be a float, a tensor that nobody has waited for yet, or an array: each entry counts as one
        observation of the mean over the log interval. Tags start with a name from `experiments.launcher.events.GLOSSARY`.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything needed to carry on: attribute name -> its value.

        What holds state of its own is restored in place: Keras models and optimisers, variables, random generators, and
        whatever has `state()` and `load_state(tree)`, such as an environment, a replay or a stream; also inside dictionaries
        and lists. Any other attribute, arrays and plain values, is assigned anew (a tuple comes back as a list). The best
        weights are kept as models and variables only, so whatever `act` or `sample` needs (running statistics too) is one
        of those.
        """

    def restored(self) -> None:  # noqa: B027 - a hook: most plugins have nothing to do
        """Called after `state()` has been restored, whole or the weights alone: bring up to date what is derived from it."""

    def close(self) -> None:  # noqa: B027 - a hook: most plugins have nothing to do
        """Join workers, close environments. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Player(ABC):
    """Plays whole episodes of `environment` by `act`: an agent, or what `Spec.player` names, which cannot learn."""

    clock: int
    """The agent's."""
    environment: Any
    """The `envs.EnvConfig` that it learns from."""
    acting: str = "sampled"
    """How it acts where it is not greedy, for the protocol line."""
    masks: bool = False
    """Whether `act` takes a keyword `mask`: which actions are allowed, [N, M] bool (see `envs.VectorEnv.mask`), or None."""

    @abstractmethod
    def act(self, observations: Any, memory: Any, rng: Any, *, greedy: bool) -> tuple[Any, Any]:
        """Return (actions [N, ...], memory) for observations [N, ...], as the environment gives and takes them.

        `memory` is what `memory(N)` or the last call returned. `rng`, a numpy Generator, is the one source of chance: training
        must not notice. With `greedy` the likeliest or best action is taken.
        """

    def memory(self, n: int) -> Any:
        """Return the state of N fresh episodes, arrays [N, ...] in a tuple: an LSTM's h and c; () where there is none."""
        return ()

    def watch(self, env: Any) -> None:  # noqa: B027 - a hook: most have nothing to do
        """Told before `act` plays in `env`, an `envs.VectorEnv`: one that plans plays its episodes on from where they stand."""

    def measures(self) -> Mapping[str, Any]:
        """Return `eval/*` scalars that episodes cannot tell, e.g. the exact values of a table, and `samples/*` images
        [N, H, W, C] uint8."""
        return {}

    def close(self) -> None:  # noqa: B027 - a hook: most have nothing to do
        """Join workers, close environments. May be called twice."""


class Agent(Plugin, Player):
    """Learns from an environment. The launcher evaluates it: it plays whole episodes of `environment` by `act`."""


class Generator(Plugin):
    """Learns from data. What it can make of them is an ability: `Draws`, `DrawsText`, `Writes`, `Embeds`, `FindsAnomalies`,
    `Translates`."""

    @abstractmethod
    def evaluate(self) -> Mapping[str, Any]:
        """Measure the current weights without touching the training state: no counter, no random stream may move.

        Returns `eval/*` scalars; optionally `samples/*` images [N, H, W, C] uint8 and `eval/protocol`, a sentence that says
        how the numbers were made.
        """

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], Any]]:
        """What the verb `sample` can draw beside samples: name -> function (n, seed) -> images [N, H, W, C] uint8."""
        return {}


class Draws(ABC):
    """An ability: pictures out of nothing."""

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> Any:
        """Return n pictures [n, H, W, C] uint8."""


class DrawsText(ABC):
    """An ability: pictures of what a caption says."""

    @abstractmethod
    def sample_text(self, text: str, n: int, seed: int = 0) -> Any:
        """Return n pictures [n, H, W, C] uint8 of a caption; UsageError for one that cannot be read."""

    def sample_texts(self, texts: Sequence[str], seed: int = 0) -> Any:
        """Return N pictures [H, W, C] uint8, one of each caption; UsageError for one that cannot be read. Here one by one."""
        return [self.sample_text(text, 1, child(seed, "caption", i))[0] for i, text in enumerate(texts)]

    @property
    def captions(self) -> Sequence[str]:
        """Captions that `sample` draws in turn, for pictures whose captions are kept beside them; () where it draws without."""
        return ()


class Writes(ABC):
    """An ability: text that goes on from a beginning."""

    temperature: float
    """That of `write` where none is asked for."""
    top_k: int
    """Likewise."""

    @abstractmethod
    def write(
        self, prompt: str, n: int, length: int, *, temperature: float, top_k: int = 0, seed: int = 0
    ) -> Sequence[str]:
        """Return n texts of `length` characters that go on from `prompt`, which may be empty and is not part of them.

        Logits are divided by `temperature`; at 0 the likeliest symbol is taken. Only the `top_k` likeliest are drawn from, all
        for 0. Text i depends on the seed and i alone. UsageError for a prompt that cannot be read.
        """


class Embeds(ABC):
    """An ability: vectors of pictures, for distances between sets of them."""

    @abstractmethod
    def extractor(self) -> Any:
        """Return the Keras model that `export` saves as extractor.keras: [B, H, W, C] float32 in [0, 1] -> features [B, D].

        It consists of Keras's own layers, so that it is read without this package.
        """


class Exports(ABC):
    """An ability: functions that work without this package."""

    @abstractmethod
    def exportable(self) -> Mapping[str, Any]:
        """Return what the verb `export` saves: name -> `tf.function`, with an `input_signature` of named TensorSpecs.

        The first axis is the batch. Each returns a mapping of name -> tensor, depends on variables alone (a mirror in numpy would
        be frozen into the file), and says in its docstring what goes in and comes out.
        """


class FindsAnomalies(ABC):
    """An ability: how unlike the pictures that it has learned from others are, and where."""

    @property
    @abstractmethod
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the pictures that `anomalies` takes."""

    @abstractmethod
    def anomalies(self, images: Any) -> tuple[Any, Any]:
        """Return (scores [N], reconstructions [N, H, W, C] uint8) of pictures [N, H, W, C] uint8.

        A score is the higher, the less a picture is like those learned from, and depends on that picture alone; a reconstruction
        differs from its picture where that is unlike them.
        """


class Translates(ABC):
    """An ability: pictures of one domain as pictures of another."""

    @property
    @abstractmethod
    def domains(self) -> Sequence[str]:
        """What it translates into, by name: one for a model of pairs, both for one that works two ways, or many."""

    @property
    @abstractmethod
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the pictures that `translate` takes."""

    @abstractmethod
    def translate(self, images: Any, target: str, seed: int = 0) -> Any:
        """Return pictures [N, H, W, C] uint8 of other domains as pictures [N, H', W', C'] uint8 of the domain `target`.

        Picture i of the result depends on picture i, the seed and i alone, on the seed only where chance has a part.
        """


CONTRACTS: dict[str, Any] = {"agent": Agent, "generative": Generator}


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
    deterministic: bool = False
    """Whether the same command has to give the same run to the last bit: what runs side by side keeps to an order then."""
    rewind: int = 0
    """How far behind the clock the oldest checkpoint may lie that is kept, so that a resume may begin there."""
    strategy: Any = None
    """A tf.distribute.Strategy, or None for one device. The plugin is built and trained in its scope."""
    say: Callable[[str], None] = field(default=lambda line: None, repr=False)
    """Prints one line for the user without breaking the progress bar."""


@dataclass(frozen=True)
class RangeTest:
    """What the verb `lr-find` follows while it raises the step size."""

    loss: str
    """A tag of `step()` that falls while the plugin learns and is measured before the weights move, e.g. loss/total."""
    optimizer: str
    """Dotted name of the setting, a `core.optim.config.OptimizerConfig`, and of the plugin's attribute, the
    `core.optim.optimizer.Optimizer` made of it."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the test by dotted field name: those with which a call of `step()` is one update of that optimiser."""


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
    eval: Mapping[str, Any]
    """Defaults for `--eval.*` of an agent, e.g. {"episodes": 100}."""
    group: str
    """What it does, as a heading under which `list` shows it beside others."""
    verbs: Mapping[str, str]
    """Verbs that only this plugin has: name -> module with `Flags` and `main`, see `experiments/launcher/verbs.py`."""
    places: tuple[str, ...] = ()
    """Dotted configuration fields that say where files lie, which may move while the run stays the same; by default those that
    nested settings name which are `Placed`, as data sources are."""
    renamed: Mapping[str, str | tuple[str, Mapping[Any, Any]]] = field(default_factory=dict)
    """Dotted configuration fields that had another name: old -> new, or (new, {old value: new value}); the new one may be the
    launcher's, e.g. eval.episodes."""
    implied: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """What the settings of a stored run with `renamed` fields, by dotted old name, say of new ones that `renamed` does not tell:
    returns dotted name -> value."""
    search: Mapping[str, str] = field(default_factory=dict)
    """Dotted configuration field -> range LOW..HIGH, LOW..HIGH:log or values A,B: what `sweep --search` varies by default."""
    lr_find: RangeTest | None = None
    """How the verb `lr-find` tests it; None where no loss of it says whether it learns, as with GANs."""
    distributed: bool = False
    """True when it trains under `Context.strategy` as on one device, its batch shared out (see core/distributed.py)."""
    player: str = ""
    """`module:function` of an agent that plays without TensorFlow: (configuration, arrays of each model and variable in `state()`
    by dotted name) -> a `Player` that acts as the whole plugin would, bit for bit, or None where that is needed all the same."""

    @property
    def prefix(self) -> str:
        """Flag prefix of its configuration: `agent` or `model`."""
        return "agent" if self.kind == "agent" else "model"


GROUPS: dict[str, str] = {"agent": "Other agents", "generative": "Other models"}
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
    group: str = "",
    tiny: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    eval: Mapping[str, Any] | None = None,
    verbs: Mapping[str, str] | None = None,
    places: tuple[str, ...] = (),
    renamed: Mapping[str, str | tuple[str, Mapping[Any, Any]]] | None = None,
    implied: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    search: Mapping[str, str] | None = None,
    lr_find: RangeTest | None = None,
    distributed: bool = False,
    player: str = "",
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
        if kind not in CONTRACTS:
            raise UsageError(f"plugin {key!r} ({where}) has kind {kind!r}; {nearest(str(kind), CONTRACTS)}")
        if goal not in ("max", "min"):
            raise UsageError(f"plugin {key!r} ({where}) has goal {goal!r}; {nearest(str(goal), ['max', 'min'])}")
        if not re.fullmatch(r"[\w.]+:\w+", build):
            raise UsageError(f"plugin {key!r} ({where}) has build={build!r}; it must read 'package.module:Class'")
        if player and not re.fullmatch(r"[\w.]+:\w+", player):
            raise UsageError(f"plugin {key!r} ({where}) has player={player!r}; it must read 'package.module:function'")
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
            eval=dict(eval or {}),
            group=group or GROUPS[kind],
            verbs=dict(verbs or {}),
            places=places,
            renamed=dict(renamed or {}),
            implied=implied,
            search=dict(search or {}),
            lr_find=lr_find,
            distributed=distributed,
            player=player,
        )
        return config

    return decorate


def build(spec: Spec, config: Any, context: Context) -> Any:
    """Import the plugin's class, check that it keeps the contract of its kind, and construct it.

    Raises UsageError naming what is missing; errors raised by the plugin's own code pass through.
    """
    factory = imported(spec, "build")
    _check_class(spec, factory)
    plugin = factory(config, context)
    if not hasattr(plugin, "clock"):
        raise UsageError(
            f"plugin {spec.name!r} ({spec.build}) has no `clock` after its construction; the x-axis begins with 0"
        )
    return plugin


def imported(spec: Spec, field: Literal["build", "player"]) -> Any:
    """Return what a field of the registration names, `module:attribute`; UsageError where it is not there."""
    named = getattr(spec, field)
    module, _, attribute = named.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"plugin {spec.name!r} names {field}={named!r}, but there is no module {error.name!r}"
        ) from error
    except AttributeError as error:
        raise UsageError(f"plugin {spec.name!r} names {field}={named!r}, but {module} has no {attribute!r}") from error


def _check_class(spec: Spec, cls: Any) -> None:
    """Raise UsageError, with the edits that are needed, for a class that does not keep the contract of its kind."""
    contract = CONTRACTS[spec.kind]
    if isinstance(cls, type) and issubclass(cls, contract):
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise UsageError(f"plugin {spec.name!r} ({spec.build}) lacks {', '.join(missing)}; see core/plugin.py")
        return
    edits = [f"inherit from core.plugin.{contract.__name__}"]
    if hasattr(cls, "load_state"):
        edits.append("let `state` name attributes, and drop `load_state` for `restored`")
    if spec.kind == "agent" and hasattr(cls, "evaluate"):
        edits.append(
            "give `act` the arguments (observations, memory, rng, *, greedy), and drop `evaluate` for `environment`"
        )
    for ability, member in ((Draws, "sample"), (DrawsText, "sample_text"), (Writes, "write"), (Exports, "exportable")):
        if hasattr(cls, member):
            edits.append(f"for its `{member}` inherit from {ability.__name__} too")
    raise UsageError(f"plugin {spec.name!r} ({spec.build}) does not keep this version's contract: {'; '.join(edits)}")
