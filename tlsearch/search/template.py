"""A first search space for a user's own image folder, as a YAML template."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Splits
from tlsearch.data.classes import rename_classes, require_classes, suggest_names
from tlsearch.data.image_size import median_size, proposed_px, sampled_sizes
from tlsearch.data.kinds.folder import list_raw_folder
from tlsearch.data.listing import SPLITS, Listing
from tlsearch.data.splits import assign
from tlsearch.results.rank.interval import wilson

log = logging.getLogger(__name__)

FEW = 100  # a validation or test split with fewer pictures is warned of
GOOD = 0.9  # the accuracy whose interval the warning gives

_TEMPLATE = """\
# A search space for {images} images of {classes} classes{splits}.
# Check it with `tlsearch validate FILE`, start it with `tlsearch run FILE --study DIR`.
name: {name}
data:
  path: {root}
  image_px: {image_px}  # {sizes}
{split_lines}{class_lines}space:
  backbone: [mobilenet_v2_035, mobilenet_v2]  # `tlsearch backbones` lists them all
  unfrozen_layers: [0, 15, 40]                # the last N layers of the backbone train
  head_units: [none, 128]                     # dense layers before the output
  dropout: {{low: 0.0, high: 0.5, step: 0.1}}
  head_lr: {{low: 3e-4, high: 3e-2, log: true}}       # where nothing is unfrozen
  fine_tune_lr: {{low: 3e-5, high: 3e-3, log: true}}  # where something is
  batch_size: [16, 32]
baselines:  # tried first
  - {{backbone: mobilenet_v2, unfrozen_layers: 0, head_units: none, dropout: 0.0, head_lr: 1e-3}}
epochs: 9
trials: 20
# time_budget: 30m
# resources: {{cpus_per_trial: 1, gpus_per_trial: 0}}
"""


def template(folder: str | Path) -> str:
    """Return a search space for an image folder as YAML text.

    Splits of the folder keep their roles. If they seem to name a class differently, the space maps
    those names to one. `image_px` follows from a sample of the pictures. Logs a warning for a
    validation or test split of fewer than 100 pictures. Raises DataError if the folder holds no
    classes.
    """
    found = list_raw_folder(Path(folder))
    names = suggest_names(found)
    listing = rename_classes(found, names)
    require_classes(listing, pooled=False)
    for problem in (*listing.notes, *_small(listing)):
        log.warning(problem)
    sizes = sampled_sizes([picture for picture in listing.pictures() if isinstance(picture, Path)])
    splits = _given_splits(listing)
    return _TEMPLATE.format(
        root=json.dumps(listing.source),
        name=json.dumps(_name(Path(folder))),
        images=len(listing.examples),
        classes=len(listing.classes),
        splits=f", split into {', '.join(splits)}" if splits else "",
        image_px=proposed_px(sizes),
        sizes=_sizes(sizes),
        class_lines=_class_lines(names),
        split_lines=_split_lines(splits),
    )


def small_splits(counts: Mapping[str, int]) -> list[str]:
    """Return a warning for each of the validation and test splits that is too small for a precise
    score; `counts` maps split -> pictures.
    """
    return [
        f"the {split} split has {counts[split]} pictures: the 95 % interval (Wilson) of an "
        f"accuracy of {GOOD} on them is {_width(counts[split]):.2f} wide; {FEW} or more tell "
        "trials apart better"
        for split in ("validation", "test")
        if 0 < counts.get(split, 0) < FEW
    ]


def _width(count: int) -> float:
    low, high = wilson(GOOD, count)
    return high - low


def _small(listing: Listing) -> list[str]:
    """The warnings about the splits as they will be; an error that prevents them is one, too."""
    try:
        rows = assign(listing.examples, Splits(), listing.classes)
    except DataError as error:
        return [str(error)]
    return small_splits({split: len(of) for split, of in rows.items()})


def _given_splits(listing: Listing) -> list[str]:
    """The splits that the folder has, in the order of `SPLITS`."""
    named = {example.split for example in listing.examples}
    return [split for split in SPLITS if split in named]


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    if not sizes:
        return "no picture of the sample could be read"
    width, height = median_size(sizes)
    return f"the median picture of a sample of {len(sizes)} is {width} x {height}"


def _split_lines(given: Sequence[str]) -> str:
    """The YAML line with the shares of the missing splits; "" if none is missing."""
    defaults = Splits()
    missing = [split for split in ("validation", "test") if split not in given]
    if not missing:
        return ""
    shares = ", ".join(f"{split}: {getattr(defaults, split)}" for split in missing)
    kept = f"  # cut from train; {', '.join(given)} as the folder has it" if given else ""
    return f"  splits: {{{shares}}}{kept}\n"


def _class_lines(names: Mapping[str, str]) -> str:
    if not names:
        return ""
    rows = "".join(f"    {json.dumps(key)}: {json.dumps(name)}\n" for key, name in names.items())
    return f"  classes:  # the splits name them differently\n{rows}"


def _name(folder: Path) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.absolute().name)
    return name.strip("-")[:100] or "study"
