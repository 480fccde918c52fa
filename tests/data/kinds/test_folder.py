"""A folder of images, listed by key; errors name the path that is not part of a valid data set."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import SPLIT_NAMES, Data
from tlsearch.data.kinds.folder import IMAGE_SUFFIXES, list_folder
from tlsearch.data.picture_file import FORMATS
from tlsearch.data.sources import prepare

ImageFolder = Callable[[dict[str, int]], Path]


def test_a_class_is_a_folder_and_a_key_is_a_path(image_folder: ImageFolder) -> None:
    root = image_folder({"dog": 1, "cat": 2, "cat/kittens": 1})
    listing = list_folder(root)
    assert listing.classes == ("cat", "dog")
    assert [(example.key, example.label) for example in listing.examples] == [
        ("cat/0.png", 0),
        ("cat/1.png", 0),
        ("cat/kittens/0.png", 0),
        ("dog/0.png", 1),
    ]
    assert list(listing.pictures()) == [root / example.key for example in listing.examples]
    assert {example.split for example in listing.examples} == {None}


def test_what_is_no_picture_is_passed_over(image_folder: ImageFolder) -> None:
    root = image_folder({"cat": 1, "dog": 1, ".git": 1})
    for name in ("cat/._0.png", "cat/notes.txt", "dog/Thumbs.db", "readme.png"):
        (root / name).write_bytes(b"")
    shutil.copy(root / "cat/0.png", root / "cat/UPPER.PNG")
    keys = [example.key for example in list_folder(root).examples]
    assert keys == ["cat/0.png", "cat/UPPER.PNG", "dog/0.png"]


def test_files_that_are_not_pictures_are_counted(image_folder: ImageFolder) -> None:
    root = image_folder({"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/dog": 1})
    assert list_folder(root).notes == ()
    for name in ("train/cat/1.HEIC", "test/dog/2.heic", "test/dog/Thumbs.db", "test/dog/readme"):
        (root / name).touch()
    found = list_folder(root)
    assert len(found.examples) == 4
    note = f"{root}: files that are not pictures are ignored: 2 .heic, 1 without suffix, 1 .db"
    assert found.notes == (note,)
    for number in range(5):
        (root / "test/dog" / f"scan.\n{number}").touch()
    counted = "2 .heic, 1 without suffix, 1 .\\n0, 1 .\\n1, 1 .\\n2 and 3 more kinds"
    assert list_folder(root).notes[0].endswith(counted)


def test_a_class_of_other_files_names_their_kinds(image_folder: ImageFolder) -> None:
    root = image_folder({"cat": 1})
    (root / "dog").mkdir()
    (root / "dog" / "1.HEIC").touch()
    with pytest.raises(DataError, match=r"dog: an empty class; expected .* in it, found 1 \.heic"):
        list_folder(root)


def test_every_format_that_can_be_opened_is_found_by_its_suffix() -> None:
    formats = Image.registered_extensions()  # without AVIF in old versions of Pillow
    found = {formats[suffix] for suffix in IMAGE_SUFFIXES if suffix in formats}
    assert found == {*FORMATS} & {*formats.values()}


@pytest.mark.parametrize(("name", "split"), SPLIT_NAMES.items())
def test_a_split_is_known_by_its_usual_names(
    image_folder: ImageFolder, name: str, split: str
) -> None:
    root = image_folder({f"{name.upper()}/cat": 1, f"{name.upper()}/dog": 1})
    assert {example.split for example in list_folder(root).examples} == {split}


def test_a_version_follows_the_file(image_folder: ImageFolder) -> None:
    root = image_folder({"cat": 1, "dog": 1})
    cat, dog = list_folder(root).examples
    (root / "cat/0.png").write_bytes(b"another")
    changed, same = list_folder(root).examples
    assert changed.version != cat.version
    assert same == dog


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "{root}: found 0 class folders, expected at least 2"),
        ({"cat": 1}, "{root}: found 1 class folders, expected at least 2"),
        ({"cat": 1, "dog": 0}, "{root}/dog: an empty class; expected image files in it"),
        (
            {"train/cat": 1, "train/dog": 1, "dog": 1},
            "{root}/dog: found next to the split folder train, expected split folders only; "
            "move it into a split, or remove it",
        ),
        (
            {"train/cat": 1, "dog": 1, "test/cat": 1},
            "{root}/dog: found next to the split folders test and train, expected split folders "
            "only; move it into a split, or remove it",
        ),
        (
            {"val/cat": 1, "valid/cat": 1},
            "{root}/valid: a second folder for the validation split; keep one",
        ),
        (
            {"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/owl": 1},
            "{root}: the splits do not have the same classes: "
            "test has no dog; train has no owl\n"
            "where one class has two names, map one to the other in data.classes; data.use leaves "
            "a split out, data.pool: true splits all pictures anew",
        ),
        (
            {"Data/train/cat": 1, "Data/train/dog": 1},
            "{root}: found 1 class folders, expected at least 2; "
            "if {root}/Data holds the classes or splits, give that as path",
        ),
    ],
)
def test_a_folder_that_is_no_data_set_says_why(
    image_folder: ImageFolder, sizes: dict[str, int], message: str
) -> None:
    root = image_folder(sizes)
    root.mkdir(exist_ok=True)
    with pytest.raises(DataError) as refused:
        list_folder(root)
    assert str(refused.value) == message.format(root=root)


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        list_folder(tmp_path / "pets")
    assert str(refused.value) == (
        f"{tmp_path}/pets: no such folder; expected a folder that holds one folder per class"
    )


def test_a_link_to_nowhere_is_named(image_folder: ImageFolder) -> None:
    root = image_folder({"cat": 1, "dog": 1})
    (root / "cat/gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match=r"gone.png: cannot be read \(No such file or directory\)"):
        prepare(Data(path=root, image_px=8), root.parent / "cache")


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("batches.meta", "these look like CIFAR's batches, which kind: cifar reads"),
        ("labels.csv", "if labels.csv lists the pictures, kind: csv reads it"),
    ],
)
def test_data_of_another_kind_is_told_what_reads_it(tmp_path: Path, file: str, hint: str) -> None:
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(DataError) as refused:
        list_folder(tmp_path)
    assert str(refused.value) == (f"{tmp_path}: found 0 class folders, expected at least 2; {hint}")


def test_a_folder_that_cannot_be_listed_is_told_of(
    image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = image_folder({"cat": 1, "cat/closed": 1, "dog": 1})
    close(monkeypatch, root / "cat/closed")
    with pytest.raises(DataError) as refused:
        list_folder(root)
    assert str(refused.value) == f"{root}/cat/closed: cannot be listed (Permission denied)"


def close(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Simulate a folder with mode 000, which does not stop root."""
    scandir = os.scandir

    def closed(path: str | Path) -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)


def test_a_class_whose_name_is_no_text_is_named(image_folder: ImageFolder) -> None:
    root = image_folder({os.fsdecode(b"caf\xe9"): 1, "dog": 1})
    with pytest.raises(DataError) as refused:
        list_folder(root)
    assert str(refused.value) == (
        f"{root}/caf\\udce9: the class's name is not UTF-8; rename the folder"
    )


def test_a_path_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    with pytest.raises(DataError) as refused:
        list_folder(tmp_path / os.fsdecode(b"\xff"))
    assert str(refused.value) == f"{tmp_path}/\\udcff: the path is not UTF-8; rename it"
