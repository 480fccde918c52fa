"""How large the pictures of a data set are, from a sample, and the square that suits them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from tlsearch.base.errors import PictureError
from tlsearch.data.picture_file import opened

SAMPLE = 200
# Squares that are proposed. Backbones halve a picture five times: of fewer than 64 pixels hardly
# a place is left; of more than 224 most were not pretrained.
SQUARES_PX = (64, 96, 128, 160, 192, 224)

Size = tuple[int, int]  # width, height


def sampled_sizes(files: Sequence[Path]) -> list[Size]:
    """The sizes of up to 200 of the files, evenly spread, by their headers; one that cannot be
    read is left out.
    """
    step = max(1, len(files) // SAMPLE)
    return [size for file in files[::step][:SAMPLE] for size in _size(file)]


def _size(file: Path) -> Iterable[Size]:
    try:
        with opened(file) as (image, _):
            return [image.size]
    except PictureError:
        return []


def median_size(sizes: Sequence[Size]) -> Size:
    """The median width and the median height."""
    return int(median(w for w, _ in sizes)), int(median(h for _, h in sizes))


def proposed_px(sizes: Sequence[Size]) -> int:
    """The least of the usual squares that loses no detail of the median picture's longer side."""
    longer = median(max(size) for size in sizes) if sizes else SQUARES_PX[-1]
    return next((px for px in SQUARES_PX if px >= longer), SQUARES_PX[-1])
