"""How a text-to-image model is measured: what a classifier reads off its pictures, and whether captions find their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.errors import require
from core.metrics.retrieval import recall_at_1
from generative.data import shapes
from generative.data.captions import Captioned, Splits
from generative.data.shape_reader import Reader

__all__ = ["Measures", "apart", "groups", "one_thing_scenes", "retrieval"]

Draw = Callable[[Sequence[str], int], np.ndarray]
"""(captions, seed) -> pictures [N, 64, 64, 3] uint8."""
EmbedText = Callable[[Sequence[str]], np.ndarray]
EmbedImages = Callable[[np.ndarray], np.ndarray]
MEASURE_SEED = 2  # fixed noise and wording, so that numbers compare over time
AMONG, GROUPS = 32, 8  # captions to choose from, where the data has so many of different meaning; groups of them
MANY = 128  # captions of two, and of three, things
VARIED, TIMES = 32, 8  # of these, captions that are drawn several times; how often


def one_thing_scenes(pairs: Sequence[tuple[int, int]]) -> list[shapes.Thing]:
    """Return every picture of one thing: each pair of colour and shape in both sizes at all nine places."""
    sizes, places = range(len(shapes.SIZES)), range(len(shapes.PLACES))
    return [shapes.Thing(c, s, size, place) for c, s in pairs for size in sizes for place in places]


class Measures:
    """Measures a model on its data.

    Captioned shapes: every one-thing caption of seen and of unseen pairs (at most `count` of each), drawn once, in random
    wording with all attributes said: eval/colour_seen, shape, size, place, joint (colour, shape and place) and the same
    of unseen; eval/true_two, eval/true_three: whether captions of two and three things are true of the whole picture as read;
    eval/diversity_two, eval/diversity_three: how far pictures of one such caption are from each other, as a share of how far real
    ones are;
    eval/agreement: the mean of both joints. Other data: eval/agreement is the share of drawn pictures that find their
    caption among 32. Both: eval/retrieval, the same of real pictures that were not trained on; where some are unseen,
    eval/retrieval_unseen.
    Where a split has fewer captions of different meaning, the choice is among these, and eval/protocol says how many.

    Raises UsageError where there is nothing to choose from.
    """

    def __init__(self, data: Splits, count: int):
        self.data = data
        self.seen: dict[str, list[shapes.Thing]] = {}
        self.test = groups(data.test)
        self.protocol = f"retrieval: {data.test.protocol}, {_among(self.test)}"
        self.unseen = groups(data.unseen) if data.unseen else []
        if data.unseen and _among(self.unseen) != _among(self.test):
            self.protocol += f"; of unseen pairs, {_among(self.unseen)}"
        if not data.shapes:
            self.protocol = f"agreement: drawn pictures find their caption by the encoders; {self.protocol}"
            return
        rng = np.random.default_rng(MEASURE_SEED)
        for name, pairs in (("seen", shapes.SEEN), ("unseen", shapes.UNSEEN)):
            scenes = one_thing_scenes(pairs)
            self.seen[name] = [scenes[i] for i in sorted(rng.permutation(len(scenes))[:count])]
        many = min(MANY, count)
        self.many = {
            name: [shapes.caption(shapes.draw_scene(rng, shapes.SEEN, n), rng) for _ in range(many)]
            for name, n in (("two", 2), ("three", 3))
        }
        self.reader = Reader()
        self.protocol = (
            f"{len(self.seen['seen'])} one-thing captions of seen and {len(self.seen['unseen'])} of unseen (colour, shape) "
            f"pairs, {many} each of two and three things, {self.reader.protocol}; diversity: {TIMES} pictures of each of "
            f"{min(VARIED, many)}, mean Euclidean distance between two over that between {TIMES} real ones; {self.protocol}"
        )

    def __call__(
        self, draw: Draw, embed_text: EmbedText, embed_images: EmbedImages, seed: int = MEASURE_SEED
    ) -> dict[str, Any]:
        measured: dict[str, Any] = {"eval/protocol": self.protocol}
        measured["eval/retrieval"] = retrieval(self.data.test, self.test, embed_text, embed_images)
        if self.data.unseen:
            measured["eval/retrieval_unseen"] = retrieval(self.data.unseen, self.unseen, embed_text, embed_images)
        if not self.data.shapes:
            measured["eval/agreement"] = retrieval(self.data.test, self.test, embed_text, embed_images, draw)
            return measured
        rng = np.random.default_rng(seed)
        for name, things in self.seen.items():
            captions = [shapes.caption((thing,), rng, complete=True)[0] for thing in things]
            read = np.array(self.reader.single(draw(captions, seed)))  # [N, 4]
            right = read == np.array(things)
            for i, attribute in enumerate(shapes.Thing._fields):
                measured[f"eval/{attribute}_{name}"] = float(right[:, i].mean())
            measured[f"eval/joint_{name}"] = float(right[:, [0, 1, 3]].all(axis=1).mean())
        for name, pairs in self.many.items():
            scenes = self.reader(draw([text for text, _ in pairs], seed))
            held = [shapes.is_true(claim, scene) for (_, claim), scene in zip(pairs, scenes, strict=True)]
            measured[f"eval/true_{name}"] = float(np.mean(held))
            varied = pairs[:VARIED]
            drawn = draw([text for text, _ in varied for _ in range(TIMES)], seed)
            painting = np.random.default_rng(MEASURE_SEED)  # the same real pictures in every evaluation
            real = [
                shapes.paint(shapes.draw_true(claim, painting), painting) for _, claim in varied for _ in range(TIMES)
            ]
            measured[f"eval/diversity_{name}"] = apart(drawn, TIMES) / apart(np.stack(real), TIMES)
        measured["eval/agreement"] = (measured["eval/joint_seen"] + measured["eval/joint_unseen"]) / 2
        return measured


def apart(images: np.ndarray, times: int) -> float:
    """Return the mean distance between two of the `times` pictures that stand in a row for each caption [N times, ...]."""
    x = images.reshape(-1, times, images[0].size).astype(np.float64)  # [N, times, D]
    inner = x @ x.transpose(0, 2, 1)  # [N, times, times]
    square = np.diagonal(inner, axis1=1, axis2=2)
    distance = np.sqrt(np.maximum(square[:, :, None] + square[:, None] - 2 * inner, 0))
    return float(distance.sum() / (len(x) * times * (times - 1)))


def groups(data: Captioned) -> list[list[tuple[int, int]]]:
    """Return at most GROUPS lists of 2 to AMONG (picture, caption) of different meaning.

    A list that began with a caption that is true of all pictures is left out. Raises UsageError where none has a choice.
    """
    drawn = [data.different(AMONG, np.random.default_rng([MEASURE_SEED, group])) for group in range(GROUPS)]
    drawn = [group for group in drawn if len(group) >= 2]
    require(
        bool(drawn),
        f"{data.protocol} give no caption another one to be chosen from; at least two whole pictures (flowers: classes) "
        "whose captions differ in meaning must be held out (data.held_out)",
    )
    return drawn


def _among(drawn: Sequence[Sequence[tuple[int, int]]]) -> str:
    least, most = min(map(len, drawn)), max(map(len, drawn))
    return f"{len(drawn)} times among {least if least == most else f'{least} to {most}'} captions of other meaning"


def retrieval(
    data: Captioned,
    drawn: Sequence[Sequence[tuple[int, int]]],
    embed_text: EmbedText,
    embed_images: EmbedImages,
    draw: Draw | None = None,
) -> float:
    """Return how often a picture finds its caption in its group of `groups`; with `draw`, pictures drawn from the captions."""
    shares = []
    for group, chosen in enumerate(drawn):
        captions = [data.captions[i][k] for i, k in chosen]
        images = draw(captions, group) if draw else data.read(np.array([i for i, _ in chosen]))[0]
        shares.append(recall_at_1(embed_images(images), embed_text(captions)))
    return float(np.mean(shares))
