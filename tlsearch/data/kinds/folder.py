"""Images in folders: `root/<class>/*`, or `root/<split>/<class>/*` with the usual split names."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from tlsearch.base.cores import granted_cores, in_order
from tlsearch.base.errors import DataError
from tlsearch.base.shown_text import escape_controls, shorten, to_storable
from tlsearch.config.dataset import SPLIT_NAMES
from tlsearch.data.classes import require_classes
from tlsearch.data.listing import Example, Listing, Split
from tlsearch.data.paths import file_version, folder_at

MOST_KINDS = 5  # of ignored files, as notes name them

# Of the formats that `picture_file.py` opens.
IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"),
    }
)


def list_folder(root: Path) -> Listing:
    """List an image folder; raises DataError that names the place if it is not a valid one."""
    listing = list_raw_folder(root)
    require_classes(listing, pooled=False)
    return listing


def list_raw_folder(root: Path) -> Listing:
    """List an image folder as it is, even if its splits name their classes differently.

    A note counts the files whose suffix is not that of a picture.
    """
    root = folder_at(root, "one folder per class")
    groups = _class_folders(root)
    classes = _classes(root, groups)
    _require_text(folder for folders in groups.values() for folder in folders)
    labels = {name: label for label, name in enumerate(classes)}
    folders = [(split, folder) for split, found in groups.items() for folder in found]
    ignored = Counter[str]()

    def of_class(where: tuple[Split | None, Path]) -> tuple[list[Example], Counter[str]]:
        split, folder = where
        files, others = _files(folder)
        if not files:
            found = f", found {_by_suffix(others)}" if others else ""
            raise DataError(f"{folder}: an empty class; expected image files in it{found}")
        return _examples(root, folder, files, labels[folder.name], split), others

    examples = []
    for part, others in in_order(of_class, folders, granted_cores()):
        examples += part
        ignored += others
    examples.sort(key=lambda example: example.key)
    return Listing(
        str(root),
        classes,
        examples,
        lambda: (root / example.key for example in examples),
        _notes(root, ignored),
    )


def _notes(root: Path, ignored: Counter[str]) -> tuple[str, ...]:
    if not ignored:
        return ()
    return (f"{root}: files that are not pictures are ignored: {_by_suffix(ignored)}",)


def _subfolders(root: Path) -> list[Path]:
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise _listing_error(error) from error


def _listing_error(error: OSError) -> DataError:
    return DataError(f"{to_storable(error.filename)}: cannot be listed ({error.strerror})")


def _class_folders(root: Path) -> dict[Split | None, list[Path]]:
    """Split -> its class folders; the split is None if the root itself holds the class folders."""
    found = _subfolders(root)
    splits = [folder for folder in found if folder.name.lower() in SPLIT_NAMES]
    if not splits:
        return {None: found}
    if len(splits) < len(found):
        odd = next(folder for folder in found if folder not in splits)
        names = f"folder{'s'[: len(splits) - 1]} {' and '.join(one.name for one in splits)}"
        raise DataError(
            f"{odd}: found next to the split {names}, expected split folders only; move it into a "
            "split, or remove it"
        )
    groups: dict[Split | None, list[Path]] = {}
    for folder in splits:
        split = SPLIT_NAMES[folder.name.lower()]
        if split in groups:
            raise DataError(f"{folder}: a second folder for the {split} split; keep one")
        groups[split] = _subfolders(folder)
    return groups


def _classes(root: Path, groups: dict[Split | None, list[Path]]) -> tuple[str, ...]:
    found = {folder.name for folders in groups.values() for folder in folders}
    if len(found) < 2:
        raise DataError(
            f"{root}: found {len(found)} class folders, expected at least 2{_hint(root)}"
        )
    return tuple(sorted(found))


def _require_text(folders: Iterable[Path]) -> None:
    """Raise DataError for a class name that is not UTF-8.

    Class names are written to UTF-8 files; the names of pictures need not be.
    """
    for folder in folders:
        if to_storable(folder.name) != folder.name:
            raise DataError(
                f"{to_storable(folder)}: the class's name is not UTF-8; rename the folder"
            )


def _hint(root: Path) -> str:
    """A guess at what a folder without classes is, as the end of a message; "" without a guess."""
    if any((root / name).is_file() for name in ("batches.meta", "meta")):
        return "; these look like CIFAR's batches, which kind: cifar reads"
    below = _subfolders(root)
    if len(below) == 1 and _subfolders(below[0]):
        return f"; if {below[0]} holds the classes or splits, give that as path"
    tables = sorted(path.name for path in root.glob("*.csv"))
    return f"; if {tables[0]} lists the pictures, kind: csv reads it" if tables else ""


def image_files(folder: Path, unlisted: Callable[[OSError], None] | None = None) -> list[Path]:
    """All image files below a folder, recognised by suffix; hidden files and folders are skipped.

    Raises DataError for a folder that cannot be listed, unless `unlisted` handles the OSError.
    """
    return _files(folder, unlisted)[0]


def _files(
    folder: Path, unlisted: Callable[[OSError], None] | None = None
) -> tuple[list[Path], Counter[str]]:
    """The image files below a folder, sorted, and the number of other files by suffix."""
    pictures, others = [], Counter[str]()
    for where, below, names in os.walk(folder, onerror=unlisted or _refuse):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in (name for name in names if not name.startswith(".")):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in IMAGE_SUFFIXES:
                pictures.append(Path(where, name))
            else:
                others[suffix] += 1
    return sorted(pictures), others


def _by_suffix(files: Counter[str]) -> str:
    """Return counts such as "12 .heic, 1 without suffix", the most frequent first."""
    kinds = sorted(files.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [
        f"{count} {shorten(escape_controls(suffix), 20) or 'without suffix'}"
        for suffix, count in kinds[:MOST_KINDS]
    ]
    rest = len(kinds) - MOST_KINDS
    return ", ".join(named) + (f" and {rest} more kinds" if rest > 0 else "")


def _refuse(error: OSError) -> None:
    raise _listing_error(error) from error


def _examples(
    root: Path, folder: Path, pictures: Iterable[Path], label: int, split: Split | None
) -> list[Example]:
    inside = folder.relative_to(root).as_posix()
    start = len(folder.as_posix().rstrip("/"))
    return [
        Example(f"{inside}{f.as_posix()[start:]}", label, split, file_version(f)) for f in pictures
    ]
