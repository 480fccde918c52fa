"""The pictures of a benchmark: a sample of a folder's, the same for every program."""

import random
from collections import defaultdict
from pathlib import Path

from tlsearch.config.dataset import Data
from tlsearch.data.kinds.folder import list_folder
from tlsearch.data.listing import Example, Split
from tlsearch.data.sources import ImageData, list_source


def linked(
    source: Path, into: Path, images: int | None, seed: int, validation: Path | None = None
) -> Path:
    """Link `images` of a source's pictures (all by default) into a folder, as tlsearch reads it.

    With `validation`, all pictures of that folder become the validation split, and the source's own
    validation pictures are left out.
    """
    examples = list(list_folder(source).examples)
    if validation is not None:
        examples = [example for example in examples if example.split != "validation"]
    for example in stratified(examples, images, seed):
        inside = "train" if validation is not None and example.split is None else ""
        _link(source / example.key, into / inside / example.key)
    for example in list_folder(validation).examples if validation is not None else ():
        assert validation is not None
        named = Path(example.key)
        name = Path(*named.parts[1:]) if example.split is not None else named
        _link(validation / example.key, into / "validation" / name)
    return into


def stratified(examples: list[Example], count: int | None, seed: int) -> list[Example]:
    """Return a seeded sample that keeps each class's share of each split, at least one picture.

    Of two samples with the same seed, the larger contains the smaller, except for rounding.
    """
    if count is None or count >= len(examples):
        return examples
    groups: dict[tuple[Split | None, int], list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.split, example.label].append(example)
    places = {}
    for name, group in groups.items():
        random.Random(f"{seed} {name}").shuffle(group)
        for place, example in enumerate(group):
            places[example.key] = (place + 0.5) / len(group) if place else 0.0
    return sorted(examples, key=lambda example: (places[example.key], example.key))[:count]


def listed(data: Data, prepared: ImageData, split: Split) -> dict[str, list[object]]:
    """Return a split's files and their labels in one order: {"files": [...], "labels": [...]}."""
    listing = list_source(data)
    rows = prepared.splits[split].tolist()
    files = [str(Path(listing.source) / listing.examples[row].key) for row in rows]
    return {"files": files, "labels": [listing.examples[row].label for row in rows]}


def _link(file: Path, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(file.absolute())
