"""From folders to images ready for trials: dropped duplicates, reported problems, cached pixels."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from tlsearch.base.errors import DataError
from tlsearch.base.phases import Phase, heard_by
from tlsearch.config.dataset import Data, Splits
from tlsearch.data.sources import ImageData, list_source, prepare
from tlsearch.store.users import mark_used

ImageFolder = Callable[[dict[str, int]], Path]
Picture = Callable[..., None]
SPLIT = {f"{s}/{c}": n for s, n in (("train", 3), ("val", 2), ("test", 2)) for c in ("cat", "dog")}


def ready(
    root: Path, duplicates: Literal["drop", "keep", "error"] = "drop", cache: str = "cache"
) -> ImageData:
    return prepare(Data(path=root, image_px=8, duplicates=duplicates), root.parent / cache)


def test_images_labels_and_splits_belong_together(image_folder: ImageFolder) -> None:
    data = ready(image_folder(SPLIT))
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train": 6,
        "validation": 4,
        "test": 4,
    }
    assert data.split_labels("validation").tolist() == [0, 0, 1, 1]
    images = data.images("validation")
    assert (images.shape, images.dtype, len(images)) == ((4, 8, 8, 3), np.uint8, 4)
    every = np.load(data.images_path)
    np.testing.assert_array_equal(images[1:3], every[data.splits["validation"][1:3]])
    np.testing.assert_array_equal(
        images[np.array([3, 0])], every[data.splits["validation"][[3, 0]]]
    )


@pytest.fixture
def leaking(image_folder: ImageFolder) -> Path:
    """Copy one training image to validation, another to test, and one validation image to test."""
    root = image_folder(SPLIT)
    shutil.copy(root / "train/cat/0.png", root / "val/cat/copy.png")
    shutil.copy(root / "train/dog/1.png", root / "test/dog/copy.png")
    shutil.copy(root / "val/dog/0.png", root / "test/dog/other.png")
    return root


FOUND = (
    "the same picture in two splits: train and validation 1, train and test 1, "
    "validation and test 1 (for example train/cat/0.png and val/cat/copy.png)"
)


def test_duplicates_are_dropped_from_train(leaking: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        data = ready(leaking)
    printed = f"{FOUND}; 2 dropped from train, 1 left in validation and test"
    assert (caplog.messages, data.duplicates) == ([printed], printed)
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [4, 5, 6]
    outside = np.r_[data.splits["validation"], data.splits["test"]]
    assert not np.isin(data.hashes[data.splits["train"]], data.hashes[outside]).any()


def test_duplicates_are_kept_where_asked(leaking: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(ready(leaking, "keep").splits["train"]) == 6
    assert caplog.messages == [f"{FOUND}; kept because of duplicates: keep"]


def test_duplicates_are_an_error_where_asked(leaking: Path) -> None:
    with pytest.raises(DataError) as refused:
        ready(leaking, "error")
    assert str(refused.value) == (
        f"{FOUND}; remove the copies, or set data.duplicates to drop or keep"
    )


def test_a_class_that_was_all_duplicates_is_named(image_folder: ImageFolder) -> None:
    root = image_folder({**SPLIT, "train/dog": 1})
    shutil.copy(root / "train/dog/0.png", root / "test/dog/copy.png")
    with pytest.raises(DataError) as refused:
        ready(root)
    assert str(refused.value) == (
        "without the pictures that are in another split too, the train split has no image of dog; "
        "take them out of the other splits, or set data.duplicates: keep"
    )


def test_the_fingerprint_is_independent_of_names_and_order(image_folder: ImageFolder) -> None:
    root = image_folder(SPLIT)
    before = ready(root).fingerprint
    (root / "train/cat/0.png").rename(root / "train/cat/zebra.png")
    (root / "val").rename(root / "validation")
    assert ready(root).fingerprint == before
    assert ready(root.rename(root.parent / "elsewhere"), cache="other").fingerprint == before


@pytest.mark.parametrize(
    "target", ["train/dog/0.png", "test/cat/9.png", None], ids=["label", "split", "gone"]
)
def test_the_fingerprint_follows_pictures_labels_and_splits(
    image_folder: ImageFolder, target: str | None
) -> None:
    root = image_folder(SPLIT)
    before = ready(root).fingerprint
    moved = (root / "train/cat/0.png").rename(root / (target or "train/cat/a.txt"))
    assert moved.exists()
    assert ready(root).fingerprint != before


def test_unreadable_images_are_named_all_at_once(image_folder: ImageFolder) -> None:
    root = image_folder(SPLIT)
    bad = [root / "test/cat/0.png", root / "train/dog/1.png"]
    for path in bad:
        path.write_bytes(b"not a picture")
    with pytest.raises(DataError) as refused:
        ready(root)
    assert str(refused.value).splitlines() == [f"{p}: cannot be read (not an image)" for p in bad]
    assert not list(root.parent.rglob("images/*.npy"))


def test_a_changed_file_is_decoded_again_and_another_is_not(
    image_folder: ImageFolder, picture: Picture
) -> None:
    root = image_folder(SPLIT)
    before = ready(root)
    assert ready(root).images_path == before.images_path
    picture(root / "test/cat/0.png", seed=77, px=9)
    after = ready(root)
    changed = np.flatnonzero(before.hashes != after.hashes)
    assert changed.tolist() == [after.splits["test"][0]]


def test_the_digits_are_prepared_as_the_quickstart_asks(tmp_path: Path) -> None:
    splits = {"train": 200, "validation": 600, "test": "rest"}
    data = prepare(
        Data.model_validate({"kind": "digits", "image_px": 8, "splits": splits}), tmp_path
    )
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train": 200,
        "validation": 600,
        "test": 997,
    }
    assert data.classes == tuple("0123456789")


POOLED = {f"{s}/{c}": n for s, n in (("train", 30), ("test", 10)) for c in ("cat", "dog")}


def test_pooled_splits_are_by_count_over_all_that_the_folders_hold(
    image_folder: ImageFolder, tmp_path: Path
) -> None:
    root = image_folder(POOLED | {"val/cat": 1, "val/dog": 1})
    splits = Splits(validation=20, test=16)
    data = prepare(
        Data(path=root, image_px=8, use=("train", "test"), pool=True, splits=splits), tmp_path
    )
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train": 44,
        "validation": 20,
        "test": 16,
    }
    keys = np.array([example.key for example in list_source(data_of(root)).examples])
    for rows in data.splits.values():
        assert {key.split("/")[0] for key in keys[rows]} == {"train", "test"}


def data_of(root: Path) -> Data:
    return Data(path=root, use=("train", "test"), pool=True)


def test_splits_that_the_data_does_not_name_cannot_be_used(image_folder: ImageFolder) -> None:
    root = image_folder(POOLED)
    with pytest.raises(DataError) as refused:
        list_source(Data(path=root, use=("train", "validation")))
    assert str(refused.value) == (
        f"{root}: data.use names validation, but the splits that the data names are: test, train"
    )


@pytest.mark.parametrize("spelled", ["valid", "Val", "VALIDATION"])
def test_a_split_to_use_is_spelled_as_folders_are(spelled: str) -> None:
    data = Data.model_validate({"kind": "digits", "use": [spelled]})
    assert data.use == ("validation",)


def test_a_split_that_is_left_out_may_lack_classes_and_hold_others(
    image_folder: ImageFolder,
) -> None:
    root = image_folder({"train/cat": 2, "train/dog": 2, "test/owl": 2})
    listing = list_source(Data(path=root, use=("train",)))
    assert listing.classes == ("cat", "dog")
    pairs = zip(listing.examples, listing.pictures(), strict=True)
    assert all(root / example.key == picture for example, picture in pairs)


def test_pictures_under_two_labels_are_told(
    image_folder: ImageFolder, caplog: pytest.LogCaptureFixture
) -> None:
    root = image_folder(SPLIT)
    shutil.copy(root / "train/cat/1.png", root / "train/dog/that.png")
    printed = (
        "the same picture under two labels: 1 (for example train/cat/1.png and train/dog/that.png)"
    )
    assert ready(root).duplicates == printed
    assert caplog.messages == [printed]


def test_near_copies_are_told_and_kept(
    image_folder: ImageFolder, caplog: pytest.LogCaptureFixture
) -> None:
    root = image_folder(SPLIT)
    pixels = np.asarray(Image.open(root / "train/cat/1.png")).copy()
    pixels[0, 0] ^= 3
    Image.fromarray(pixels).save(root / "test/cat/frame.png")
    assert len(ready(root).splits["train"]) == 6
    assert caplog.messages == [
        "nearly the same picture in two splits: train and validation 0 of 6, train and test 1 of "
        "6, validation and test 0 of 4 (for example train/cat/1.png and test/cat/frame.png); all "
        "kept, which makes scores better than on unrelated pictures"
    ]


def test_a_second_look_at_the_images_reads_no_pixels(
    leaking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ready(leaking)

    def refuse(*_: object) -> None:
        raise AssertionError("the pixels are read again")

    for read in ("sources.content_hashes", "decode.read_pixels", "near_duplicates.signatures"):
        monkeypatch.setattr(f"tlsearch.data.{read}", refuse)
    again = ready(leaking)
    assert (again.duplicates, again.fingerprint) == (first.duplicates, first.fingerprint)
    assert {s: r.tolist() for s, r in again.splits.items()} == {
        s: r.tolist() for s, r in first.splits.items()
    }


def test_images_beyond_the_budget_go_but_for_those_that_are_used(
    image_folder: ImageFolder, tmp_path: Path
) -> None:
    root, cache = image_folder(SPLIT), tmp_path / "cache"
    one = 14 * 8 * 8 * 3 + 200  # bytes of one decoded array
    kept: list[Path] = []
    for px in (8, 9, 10):
        kept.append(prepare(Data(path=root, image_px=px), cache, budget_bytes=2 * one).images_path)
        os.utime(kept[-1], (px, px))
    assert [path.exists() for path in kept] == [False, False, True]
    with mark_used(kept[2]):
        last = prepare(Data(path=root, image_px=8), cache, budget_bytes=one).images_path
        assert last == kept[0]
        assert kept[2].exists()
        assert last.exists()


def test_reading_decoding_and_checking_count_every_picture(image_folder: ImageFolder) -> None:
    root = image_folder(SPLIT)
    heard: list[Phase] = []
    with heard_by(heard.append):
        ready(root)
    pictures = sum(SPLIT.values())
    found = {one.name: one.done for one in heard if one.state == "ended"}
    assert found == dict.fromkeys(("reading", "decoding", "checking"), pictures)
    assert {one.total for one in heard if one.name != "reading"} == {pictures}
    assert [one.name for one in heard if one.state == "began"] == [*found]
