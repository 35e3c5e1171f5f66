"""The user's own pictures: a folder of them, an npz file, MNIST and CIFAR-10 in their original formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generative.data.registry import Images, Opening, source
from generative.data.settings import DataConfig

if TYPE_CHECKING:
    from generative.data.sources import Pictures

__all__ = ["cifar10", "classes", "folder", "mnist", "npz"]


@source("folder:PATH", kind="pictures", summary="any pictures below a folder of yours")
def folder(config: DataConfig, opening: Opening) -> Pictures:
    from generative.data.cache import cache_place
    from generative.data.files import Folder
    from generative.data.pictures import OWN_SIZE
    from generative.data.record import folder_pictures
    from generative.data.sources import Pictures

    cache = cache_place(config.cache)
    known = folder_pictures(opening.record, opening.part, config.source, opening.say, cache=cache)
    images = Folder(known, config.sides or OWN_SIZE, config.channels or 3, config.crop, opening.say, cache)
    return Pictures(config.source, f"the folder {known.root.name!r}", images, mirror=config.mirror)


@source(
    "classes:PATH", kind="pictures", summary="pictures in folders of yours, one for each class: its name is the label"
)
def classes(config: DataConfig, opening: Opening) -> Pictures:
    from pathlib import PurePath

    import numpy as np

    from core.errors import require
    from generative.data.sources import Pictures

    found = folder(config, opening)
    parts = [PurePath(name).parts for name in found.images.known.names]  # type: ignore[union-attr]
    outside = [path[0] for path in parts if len(path) == 1]
    require(
        not outside,
        f"data.source is {config.source!r}; {', '.join(outside[:1])} lies in no class: each picture needs a folder, CLASS/NAME",
    )
    words, labels = np.unique([path[0] for path in parts], return_inverse=True)
    what = f"the {len(words)} classes in {PurePath(opening.path).name!r}"
    return Pictures(config.source, what, found.images, labels, config.mirror, words=tuple(words.tolist()))


@source(
    "npz:PATH",
    kind="pictures",
    summary="an array `images` [N, H, W] or [N, H, W, C] of yours, and `labels` if there are any",
)
def npz(config: DataConfig, opening: Opening) -> Images:
    from generative.data.files import read_npz

    return read_npz(opening.path, opening.say)


@source(
    "mnist:PATH", kind="pictures", summary="idx files: MNIST, Fashion-MNIST, EMNIST or QMNIST as they are distributed"
)
def mnist(config: DataConfig, opening: Opening) -> Images:
    from generative.data.files import read_mnist

    return read_mnist(opening.path, opening.say)


@source("cifar10:PATH", kind="pictures", summary="CIFAR-10's binary version")
def cifar10(config: DataConfig, opening: Opening) -> Images:
    from generative.data.files import read_cifar10

    return read_cifar10(opening.path, opening.say)
