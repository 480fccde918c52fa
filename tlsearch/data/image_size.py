"""The size of the pictures of a data set, from a sample, and the `image_px` proposed for them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from tlsearch.base.errors import PictureError
from tlsearch.data.picture_file import open_picture

SAMPLE = 200
# Sides of the squares that are proposed. Backbones halve a picture five times: below 64 pixels
# the last feature map has hardly any places left; above 224 most of them were not pretrained.
SQUARES_PX = (64, 96, 128, 160, 192, 224)

Size = tuple[int, int]  # width, height


def sampled_sizes(files: Sequence[Path]) -> list[Size]:
    """The sizes of up to 200 evenly spread files, read from their headers.

    Files that cannot be read are left out.
    """
    step = max(1, math.ceil(len(files) / SAMPLE))
    return [size for file in files[::step] for size in _size(file)]


def _size(file: Path) -> Iterable[Size]:
    try:
        with open_picture(file) as (image, _):
            return [image.size]
    except PictureError:
        return []


def median_size(sizes: Sequence[Size]) -> Size:
    """The median width and the median height."""
    return int(median(w for w, _ in sizes)), int(median(h for _, h in sizes))


def proposed_px(sizes: Sequence[Size]) -> int:
    """The smallest of `SQUARES_PX` that is at least the median of the pictures' longer sides.

    The largest of `SQUARES_PX` if the pictures are larger, or if there are none.
    """
    longer = median(max(size) for size in sizes) if sizes else SQUARES_PX[-1]
    return next((px for px in SQUARES_PX if px >= longer), SQUARES_PX[-1])
