"""Pictures with captions: shapes painted on the spot, the user's folder, Oxford-102 flowers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generative.data.registry import Opening, source
from generative.data.settings import CaptionConfig

if TYPE_CHECKING:
    from generative.data.captions import Splits

__all__ = ["captioned_shapes", "flowers", "folder"]


@source(
    "captioned-shapes",
    kind="captions",
    summary="one to three coloured shapes, painted on the spot, some combinations held out",
    mirrors=False,
)
def captioned_shapes(config: CaptionConfig, opening: Opening) -> Splits:
    from generative.data.captions import painted_shapes

    return painted_shapes(config)


@source("folder:PATH", kind="captions", summary="NAME.png with NAME.txt, one caption a line, or the layout of CUB")
def folder(config: CaptionConfig, opening: Opening) -> Splits:
    from generative.data.captions import captioned_folder

    return captioned_folder(config, opening)


@source("flowers:PATH", kind="captions", summary="Oxford-102: pictures, and captions in folders or in one archive")
def flowers(config: CaptionConfig, opening: Opening) -> Splits:
    from generative.data.captions import oxford_flowers

    return oxford_flowers(config, opening)
