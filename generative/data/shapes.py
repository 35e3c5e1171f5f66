"""Captioned shapes: pictures of one to three coloured shapes, captions in several wordings, and whether a caption is true.

A caption mentions every thing in its picture, always with colour and shape, mostly with size and place; two things may be placed
by a relation instead ("above"). So it makes a `Claim`, and `is_true` decides whether a claim holds of a scene: a caption of
another picture is wrong when it is false here, not merely when its words differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

__all__ = [
    "COLOURS",
    "PLACES",
    "SEEN",
    "SENTENCES",
    "SHAPES",
    "SIDE",
    "SIZES",
    "UNSEEN",
    "Claim",
    "Thing",
    "caption",
    "draw_scene",
    "draw_true",
    "is_true",
    "paint",
    "sentence",
    "wrong_caption",
]

SIDE = 64
"""Pixels a side of every picture."""
COLOURS = {
    "red": (210, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 225, 60),
    "green": (40, 160, 60),
    "blue": (45, 80, 215),
    "purple": (140, 50, 165),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = {"small": 5.5, "large": 9.0}  # radius in pixels
PLACES = tuple(
    f"{row} {column}".strip() or "middle" for row in ("top", "", "bottom") for column in ("left", "", "right")
)
"""Nine cells, row by row."""

UNSEEN = ((0, 3), (1, 1), (3, 0), (4, 2), (5, 1), (6, 0))
"""(colour, shape) pairs that no training picture shows; each colour and each shape is seen in other pairs."""
SEEN = tuple((c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES)) if (c, s) not in UNSEEN)

SENTENCES = (
    "a large red circle above a small blue square",
    "a small yellow triangle to the left of a large green cross",
    "a large purple triangle in the middle",
    "there is a small white square at the top right",
    "a large green circle at the bottom left",
    "a large orange square in the middle",
    "a small black circle at the top and a large yellow square at the bottom",
    "a small blue cross at the top left, a large white triangle in the middle and a small red square at the bottom right",
)
"""For sample grids; the fifth and the sixth have unseen pairs."""

CENTRES = (12.5, 31.5, 50.5)  # pixels, of rows and columns
SHIFT, TURN, SHADE, GROUND = 1.2, 10.0, 12.0, (105.0, 150.0)  # pixels, degrees, levels, levels
THINGS = (0.5, 0.3, 0.2)  # how often a picture shows one, two, three
OMITTED = 0.15  # how often a size, or the place of a single thing, stays unsaid
UNSAID = -1

_COLOUR_WORDS = {"purple": ("purple", "violet")}
_SHAPE_WORDS = {"circle": ("circle", "disc"), "square": ("square", "box"), "cross": ("cross", "plus")}
_SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
_PLACE_WORDS = {
    "top left": ("at the top left", "in the top left corner", "in the upper left"),
    "top": ("at the top", "at the top centre", "near the upper edge"),
    "top right": ("at the top right", "in the top right corner", "in the upper right"),
    "left": ("on the left", "at the left side", "near the left edge"),
    "middle": ("in the middle", "in the centre"),
    "right": ("on the right", "at the right side", "near the right edge"),
    "bottom left": ("at the bottom left", "in the bottom left corner", "in the lower left"),
    "bottom": ("at the bottom", "at the bottom centre", "near the lower edge"),
    "bottom right": ("at the bottom right", "in the bottom right corner", "in the lower right"),
}
_RELATIONS = {
    "above": ("above", "over"),
    "below": ("below", "under"),
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
}
_ALONE = ("{0}", "there is {0}", "this is {0}", "the picture shows {0}")
_PLACED = ("{0} {1}", "there is {0} {1}", "{1} there is {0}", "{1} lies {0}", "the picture shows {0} {1}")
_RELATED = ("{0} {1} {2}", "there is {0} {1} {2}", "{1} {2} lies {0}")
_LISTED = ("{0}", "there are {0}", "the picture shows {0}")


class Thing(NamedTuple):
    """Colour, shape, size and place by their positions in COLOURS, SHAPES, SIZES, PLACES; in a claim -1 where unsaid."""

    colour: int
    shape: int
    size: int
    place: int


class Claim(NamedTuple):
    """What a caption says: all things of a picture, and perhaps how the first lies to the second."""

    things: tuple[Thing, ...]
    relation: str = ""


def draw_scene(rng: np.random.Generator, pairs: Sequence[tuple[int, int]], count: int = 0) -> tuple[Thing, ...]:
    """Return `count` things (0: one to three) with different (colour, shape) out of `pairs`, at different places."""
    count = count or 1 + int(rng.choice(len(THINGS), p=THINGS))
    chosen = rng.choice(len(pairs), count, replace=False)
    places, sizes = rng.choice(len(PLACES), count, replace=False), rng.integers(len(SIZES), size=count)
    found = zip((pairs[p] for p in chosen), sizes, places, strict=True)
    return tuple(Thing(colour, shape, int(size), int(place)) for (colour, shape), size, place in found)


def draw_true(claim: Claim, rng: np.random.Generator) -> tuple[Thing, ...]:
    """Return a scene of which the claim holds; what it leaves unsaid, sizes and places, is drawn evenly."""
    while True:
        scene = [
            thing._replace(
                size=int(rng.integers(len(SIZES))) if thing.size == UNSAID else thing.size,
                place=int(rng.integers(len(PLACES))) if thing.place == UNSAID else thing.place,
            )
            for thing in claim.things
        ]
        if len({thing.place for thing in scene}) == len(scene) and is_true(claim, scene):
            return tuple(scene)


def paint(scene: Sequence[Thing], rng: np.random.Generator) -> np.ndarray:
    """Return the scene as [SIDE, SIDE, 3] uint8, smooth at the edges, with a little chance in shade, place, size and turn."""
    image = np.full((SIDE, SIDE, 3), rng.uniform(*GROUND))
    for thing in scene:
        row, column = divmod(thing.place, 3)
        y, x = (CENTRES[i] + rng.uniform(-SHIFT, SHIFT) for i in (row, column))
        radius = list(SIZES.values())[thing.size] * rng.uniform(0.94, 1.06)
        colour = np.array(list(COLOURS.values())[thing.colour]) + rng.uniform(-SHADE, SHADE, 3)
        angle = np.deg2rad(rng.uniform(-TURN, TURN))
        rows, columns = np.mgrid[:SIDE, :SIDE]
        dx, dy = columns - x, rows - y
        u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        cover = np.clip(0.5 - _distance(SHAPES[thing.shape], u, v, radius), 0, 1)[..., None]  # [H, W, 1]
        image += cover * (colour - image)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _distance(shape: str, u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Return how many pixels each point lies outside the outline (below 0: inside; exact near straight edges)."""
    if shape == "circle":
        return np.hypot(u, v) - radius
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.9 * radius
    if shape == "triangle":
        v = v - 0.1 * radius  # between its centroid and the middle of its height
        return np.maximum(v, np.abs(u) * 0.866 - v * 0.5) - 0.62 * radius
    long, short = 1.1 * radius, 0.36 * radius
    a, b = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(a - long, b - short), np.maximum(a - short, b - long))


def is_true(claim: Claim, scene: Sequence[Thing]) -> bool:
    """Return whether the claim holds of the scene: the same number of things, each as said, in the said relation."""
    said = claim.things
    if len(said) != len(scene) or {t[:2] for t in said} != {t[:2] for t in scene}:
        return False
    return any(
        all(
            all(w in (UNSAID, h) for w, h in zip(words, here, strict=True))
            for words, here in zip(said, order, strict=True)
        )
        and (not claim.relation or claim.relation in _relations(order[0], order[1]))
        for order in permutations(scene)
    )


def _relations(a: Thing, b: Thing) -> list[str]:
    """Return how a lies to b: above and below in one column, left and right in one row."""
    (row_a, column_a), (row_b, column_b) = divmod(a.place, 3), divmod(b.place, 3)
    if column_a == column_b:
        return ["above" if row_a < row_b else "below"]
    if row_a == row_b:
        return ["left" if column_a < column_b else "right"]
    return []


def caption(scene: Sequence[Thing], rng: np.random.Generator, *, complete: bool = False) -> tuple[str, Claim]:
    """Return one wording for the scene and the claim it makes; `complete` leaves out neither sizes nor places."""

    def pick(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    order = [scene[i] for i in rng.permutation(len(scene))]
    sized = [complete or rng.random() >= OMITTED for _ in order]
    names = [_name(thing, size, pick) for thing, size in zip(order, sized, strict=True)]
    said = [t if size else t._replace(size=UNSAID) for t, size in zip(order, sized, strict=True)]
    where = [pick(_PLACE_WORDS[PLACES[thing.place]]) for thing in order]
    if len(order) == 1:
        if not complete and rng.random() < OMITTED:
            return pick(_ALONE).format(names[0]), Claim((said[0]._replace(place=UNSAID),))
        return pick(_PLACED).format(names[0], where[0]), Claim((said[0],))
    relation = _relations(*order) if len(order) == 2 else []
    if not complete and relation and rng.random() < 0.5:
        text = pick(_RELATED).format(names[0], pick(_RELATIONS[relation[0]]), names[1])
        return text, Claim(tuple(t._replace(place=UNSAID) for t in said), relation[0])
    parts = [f"{name} {place}" for name, place in zip(names, where, strict=True)]
    return pick(_LISTED).format(", ".join(parts[:-1]) + " and " + parts[-1]), Claim(tuple(said))


def wrong_caption(scene: Sequence[Thing], pairs: Sequence[tuple[int, int]], rng: np.random.Generator) -> str:
    """Return a caption that is false of the scene in one attribute of one thing; (colour, shape) stays one of `pairs`.

    Half of the time that is the shape, which fewest pixels tell: a circle and a square differ in their corners.
    """
    choices = {"colour": len(COLOURS), "shape": len(SHAPES), "size": len(SIZES), "place": len(PLACES)}
    while True:
        attribute = str(rng.choice(list(choices), p=(1 / 6, 1 / 2, 1 / 6, 1 / 6)))
        n, value = int(rng.integers(len(scene))), int(rng.integers(choices[attribute]))
        changed = scene[n]._replace(**{attribute: value})
        others = [*scene[:n], *scene[n + 1 :]]
        if changed[:2] not in pairs or any(changed[:2] == t[:2] or changed.place == t.place for t in others):
            continue
        text, claim = caption([*scene[:n], changed, *scene[n + 1 :]], rng)
        if not is_true(claim, scene):
            return text


def sentence(thing: Thing) -> str:
    """Return the plain caption of one thing, e.g. "a large red circle at the top left"."""
    return f"{_name(thing, True, lambda words: words[0])} {_PLACE_WORDS[PLACES[thing.place]][0]}"


def _name(thing: Thing, sized: bool, pick) -> str:  # type: ignore[no-untyped-def]
    colour, shape, size = list(COLOURS)[thing.colour], SHAPES[thing.shape], list(SIZES)[thing.size]
    words = [pick(_SIZE_WORDS[size])] if sized else []
    words += [pick(_COLOUR_WORDS.get(colour, (colour,))), pick(_SHAPE_WORDS.get(shape, (shape,)))]
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"
