"""A first search space for a user's own pictures, from a look at the folder."""

import json
from collections.abc import Mapping
from pathlib import Path

from tlsearch.data.classes import renamed, require_classes, suggested
from tlsearch.data.kinds.folder import list_raw_folder
from tlsearch.data.listing import Listing

_TEMPLATE = """\
# A search space for {images} images of {classes} classes{splits}.
# Check it with `tlsearch validate FILE`, start it with `tlsearch run FILE --study DIR`.
name: {name}
data:
  path: {root}
  image_px: 224
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


def template(folder: Path) -> str:
    """A search space as YAML text; raises DataError where the folder holds no classes.

    Where splits seem to name a class differently it maps those names to one.
    """
    found = list_raw_folder(folder)
    names = suggested(found)
    listing = renamed(found, names)
    require_classes(listing, pooled=False)
    given = sorted({example.split for example in listing.examples if example.split is not None})
    return _TEMPLATE.format(
        root=json.dumps(listing.source),
        name=json.dumps(_name(folder)),
        images=len(listing.examples),
        classes=len(listing.classes),
        splits=f", split into {', '.join(given)}" if given else "",
        class_lines=_class_lines(names),
        split_lines="" if _complete(listing) else "  splits: {validation: 0.15, test: 0.15}\n",
    )


def _class_lines(names: Mapping[str, str]) -> str:
    if not names:
        return ""
    rows = "".join(f"    {json.dumps(key)}: {json.dumps(name)}\n" for key, name in names.items())
    return f"  classes:  # the splits name them differently\n{rows}"


def _complete(listing: Listing) -> bool:
    return {"train", "validation", "test"} <= {example.split for example in listing.examples}


def _name(folder: Path) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.absolute().name)
    return name.strip("-")[:100] or "study"
