"""Images in folders: `root/<class>/*`, or `root/<split>/<class>/*` with the usual split names."""

import os
from pathlib import Path

from tlsearch.data.listing import Example, Listing, Split
from tlsearch.errors import DataError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"))

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def list_folder(root: Path) -> Listing:
    """List an image folder; raises DataError where it cannot be one, naming the place."""
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected a folder that holds a folder a class")
    groups = _class_folders(root)
    classes = _classes(root, groups)
    labels = {name: label for label, name in enumerate(classes)}
    examples = [
        _example(root, file, labels[folder.name], split)
        for split, folders in groups.items()
        for folder in folders
        for file in _images(folder)
    ]
    examples.sort(key=lambda example: example.key)
    return Listing(
        str(root), classes, examples, lambda: (root / example.key for example in examples)
    )


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _class_folders(root: Path) -> dict[Split | None, list[Path]]:
    """Split -> its class folders; the split is None where the root holds the classes itself."""
    found = _subfolders(root)
    splits = [folder for folder in found if folder.name.lower() in SPLIT_NAMES]
    if not splits:
        return {None: found}
    if len(splits) < len(found):
        odd = next(folder for folder in found if folder not in splits)
        raise DataError(f"{odd}: found beside split folders; is it a class or a split?")
    groups: dict[Split | None, list[Path]] = {}
    for folder in splits:
        split = SPLIT_NAMES[folder.name.lower()]
        if split in groups:
            raise DataError(f"{folder}: a second folder for the {split} split; keep one")
        groups[split] = _subfolders(folder)
    return groups


def _classes(root: Path, groups: dict[Split | None, list[Path]]) -> tuple[str, ...]:
    named = {split: {folder.name for folder in folders} for split, folders in groups.items()}
    everything = set().union(*named.values())
    if len(everything) < 2:
        raise DataError(f"{root}: found {len(everything)} class folders, expected at least 2")
    lacking = {split: sorted(everything - names) for split, names in named.items()}
    if any(lacking.values()):
        lines = "; ".join(f"{split} lacks {names}" for split, names in lacking.items() if names)
        raise DataError(f"{root}: the splits do not have the same classes: {lines}")
    return tuple(sorted(everything))


def image_files(folder: Path) -> list[Path]:
    """Every image file below a folder, by its name's ending, but nothing hidden."""
    found = []
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        shown = [name for name in names if not name.startswith(".")]
        found += [Path(where) / n for n in shown if Path(n).suffix.lower() in IMAGE_SUFFIXES]
    return sorted(found)


def _images(folder: Path) -> list[Path]:
    found = image_files(folder)
    if not found:
        raise DataError(f"{folder}: an empty class; expected image files in it")
    return found


def _example(root: Path, file: Path, label: int, split: Split | None) -> Example:
    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    key = file.relative_to(root).as_posix()
    return Example(key, label, split, f"{stat.st_size}-{stat.st_mtime_ns}")
