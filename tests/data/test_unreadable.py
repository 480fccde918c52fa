"""Unreadable images: refused, or left out before splitting and reported."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Data, Splits
from tlsearch.data.sources import ImageData, known_splits, list_source, original_pictures, prepare

ImageFolder = Callable[[dict[str, int]], Path]
SHARES = Splits(validation=0.3, test=0.3)  # large enough that no class needs filling
BAD = ("cat/07.png", "cat/11.png", "dog/03.png", "dog/30.png")


@pytest.fixture
def pets(image_folder: ImageFolder) -> Path:
    root = image_folder({"cat": 40, "dog": 40})
    for path in root.glob("*/?.png"):
        path.rename(path.with_name(f"0{path.name}"))
    return root


def spoil(root: Path, names: tuple[str, ...] = BAD) -> None:
    for name in names:
        (root / name).write_bytes(b"<html>404</html>")


def ready(root: Path, cache: str = "cache", **keys: Any) -> ImageData:
    data = Data(path=root, image_px=8, splits=SHARES, **{"unreadable": "skip", **keys})
    return prepare(data, root.parent / cache)


def keys_of(root: Path, data: ImageData) -> dict[str, set[str]]:
    examples = list_source(Data(path=root)).examples
    return {split: {examples[row].key for row in rows} for split, rows in data.splits.items()}


def test_they_are_left_out_and_no_other_picture_moves(
    pets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = keys_of(pets, ready(pets))
    spoil(pets)
    data = ready(pets)
    assert keys_of(pets, data) == {split: keys - {*BAD} for split, keys in before.items()}
    assert data.unreadable == tuple(f"{name}: cannot be read (not an image)" for name in BAD)
    printed = (
        "4 of 80 pictures cannot be read and are left out: "
        f"{'; '.join(data.unreadable[:3])} and 1 more"
    )
    assert data.notes == (printed,)
    assert caplog.messages == [printed]


def test_they_are_left_out_of_the_audit(pets: Path) -> None:
    spoil(pets)
    assert ready(pets).duplicates == ""  # although a cat and a dog are the same black image


def test_what_is_remembered_is_what_was_found(pets: Path) -> None:
    spoil(pets)
    first, again = ready(pets), ready(pets)
    assert again.images_path == first.images_path
    assert again.unreadable == first.unreadable
    assert again.fingerprint == first.fingerprint
    for path in (pets.parent / "cache" / "readable").iterdir():
        path.unlink()
    assert ready(pets).fingerprint == first.fingerprint


def test_a_whole_set_is_decoded_once_whatever_the_key_says(pets: Path) -> None:
    strict = ready(pets, unreadable="error")
    assert ready(pets).images_path == strict.images_path
    assert ready(pets).fingerprint == strict.fingerprint


def test_a_picture_that_is_mended_is_taken_in(pets: Path) -> None:
    whole = ready(pets).fingerprint
    kept = (pets / BAD[0]).read_bytes()
    spoil(pets, BAD[:1])
    assert ready(pets).fingerprint != whole
    (pets / BAD[0]).write_bytes(kept)
    assert ready(pets).fingerprint == whole
    assert not ready(pets).unreadable


def test_a_link_to_nowhere_is_left_out(pets: Path) -> None:
    (pets / "cat/gone.png").symlink_to(pets / "nowhere.png")
    assert ready(pets).unreadable == ("cat/gone.png: cannot be read (No such file or directory)",)


def test_original_pictures_are_those_of_the_splits(pets: Path) -> None:
    spoil(pets)
    data = ready(pets)
    rows = data.splits["validation"]
    files = original_pictures(Data(path=pets), rows, pets.parent / "scratch")
    examples = list_source(Data(path=pets)).examples
    assert files == [pets / examples[row].key for row in rows]
    assert not {*files} & {pets / name for name in BAD}


@pytest.mark.parametrize("spoiled", ["class", "half"])
def test_too_many_are_an_error_still(pets: Path, spoiled: str) -> None:
    cats = [f"cat/{path.name}" for path in sorted((pets / "cat").iterdir())]
    names = cats if spoiled == "class" else [*cats[:-1], "dog/03.png", "dog/07.png"]
    spoil(pets, tuple(names))
    with pytest.raises(DataError) as refused:
        ready(pets)
    first, second, *_ = str(refused.value).splitlines()
    ends = {
        "class": "which leaves no picture of cat; data.unreadable: skip needs a readable picture "
        "of every class: repair or replace these files",
        "half": "which is more than half; data.unreadable: skip leaves out at most half: repair or "
        "remove these files",
    }
    assert first == f"{pets}: {len(names)} of 80 pictures cannot be read, {ends[spoiled]}"
    assert second == "cat/00.png: cannot be read (not an image)"


def test_the_default_refuses(pets: Path) -> None:
    spoil(pets)
    with pytest.raises(DataError, match=r"cat/07\.png: cannot be read"):
        ready(pets, unreadable="error")


def test_what_a_plan_knows_without_decoding(pets: Path) -> None:
    spoil(pets)
    data = Data(path=pets, image_px=8, splits=SHARES, unreadable="skip")
    cache = pets.parent / "cache"
    assert known_splits(data, cache)[2] is False
    found = prepare(data, cache)
    _, splits, decoded = known_splits(data, cache)
    assert decoded
    for split, rows in splits.items():
        np.testing.assert_array_equal(rows, found.splits[split])


def test_a_name_that_is_no_text_stands_as_escapes(pets: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    (pets / "cat/07.png").rename(pets / "cat" / odd)
    read = ready(pets)
    assert any(f"cat/{odd}" in keys for keys in keys_of(pets, read).values())
    (pets / "cat" / odd).write_bytes(b"<html>404</html>")
    left_out = ready(pets)
    printed = r"cat/caf\udce9.png: cannot be read (not an image)"
    assert left_out.unreadable == (printed,)
    with pytest.raises(DataError) as refused:
        ready(pets, unreadable="error")
    assert str(refused.value) == f"{pets}/{printed}"


def test_a_pipe_is_left_out(pets: Path) -> None:
    os.mkfifo(pets / "cat/pipe.tif")
    printed = "cat/pipe.tif: cannot be read (a pipe, expected a file)"
    assert ready(pets).unreadable == (printed,)


def test_equal_pictures_whose_names_are_no_text_are_told_of_in_text(pets: Path) -> None:
    for path in [*(pets / "cat").iterdir()]:
        shutil.copy(path, path.with_name(f"{path.stem}{os.fsdecode(bytes([0xE9]))}.png"))
        path.rename(path.with_name(f"{path.stem}{os.fsdecode(bytes([0xFF]))}.png"))
    printed = ready(pets, duplicates="keep").duplicates
    assert "\\udcff.png" in printed
    assert printed.encode("utf-8")
