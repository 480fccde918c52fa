"""Laws for every kind of data: each row of the table of sources, prepared as a search does."""

import csv
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import SOURCES, Data, Splits
from tlsearch.data.decode import read_pixels, resize
from tlsearch.data.listing import SPLITS
from tlsearch.data.sources import ImageData, list_source, original_pictures, prepare

ImageFolder = Callable[[dict[str, int]], Path]
PX = 32
PER_CLASS = 8


class Kind:
    """Small data of one kind on disk, and the ways in which a user may change it."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def change_picture(self) -> None:
        """Change some bytes of one training image."""

    def change_label(self) -> None:
        """Change the label of one training image."""

    def damage(self) -> Path:
        """Damage one file and return its path."""


class Folder(Kind):
    """One folder per class."""

    @property
    def root(self) -> Path:
        return self.data.path or Path()

    def change_picture(self) -> None:
        shutil.copy(self.root / "cat/0.png", self.root / "cat/1.png")

    def change_label(self) -> None:
        (self.root / "cat/1.png").rename(self.root / "dog/that.png")

    def damage(self) -> Path:
        (self.root / "cat/1.png").write_bytes(b"no picture")
        return self.root / "cat/1.png"


class Csv(Folder):
    """The same images, listed in a table."""

    @property
    def root(self) -> Path:
        return (self.data.path or Path()).parent

    def change_label(self) -> None:
        table = self.root / "labels.csv"
        table.write_text(table.read_text().replace("cat/1.png,cat", "cat/1.png,dog"))


class Cifar(Kind):
    """Pickled batches."""

    def change_picture(self) -> None:
        self._change("data", lambda data: np.concatenate([255 - data[:1], data[1:]]))

    def change_label(self) -> None:
        self._change("labels", lambda labels: [1, *labels[1:]])

    def damage(self) -> Path:
        self._batch.write_bytes(self._batch.read_bytes()[:-20])
        return self._batch

    @property
    def _batch(self) -> Path:
        return (self.data.path or Path()) / "data_batch_1"

    def _change(self, key: str, how: Callable[[Any], Any]) -> None:
        batch = {
            k.decode(): v
            for k, v in pickle.loads(self._batch.read_bytes(), encoding="bytes").items()
        }
        self._batch.write_bytes(pickle.dumps(batch | {key: how(batch[key])}, protocol=2))


class Npz(Kind):
    """NumPy arrays."""

    def change_picture(self) -> None:
        self._change("images", lambda images: np.concatenate([255 - images[:1], images[1:]]))

    def change_label(self) -> None:
        self._change("labels", lambda labels: np.concatenate([1 - labels[:1], labels[1:]]))

    def damage(self) -> Path:
        self._file.write_bytes(self._file.read_bytes()[:-20])
        return self._file

    @property
    def _file(self) -> Path:
        return self.data.path or Path()

    def _change(self, key: str, how: Callable[[Any], Any]) -> None:
        with np.load(self._file) as held:
            arrays = dict(held)
        np.savez(self._file, **{**arrays, key: how(arrays[key])})


class Digits(Kind):
    """The digits of scikit-learn, which nobody can change."""


def write_table(root: Path) -> Path:
    files = sorted(root.rglob("*.png"))
    with (root / "labels.csv").open("w", newline="") as file:
        rows = ((path.relative_to(root), path.parent.name) for path in files)
        csv.writer(file).writerows([("path", "label"), *rows])
    return root / "labels.csv"


def write_arrays(root: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (2 * PER_CLASS, 9, 7, 3), dtype=np.uint8)
    np.savez(root / "arrays.npz", images=images, labels=np.arange(2 * PER_CLASS) % 2)
    return root / "arrays.npz"


ON_DISK = ("folder", "csv", "cifar", "npz")
HERE = (*ON_DISK, "digits")


@pytest.fixture
def source(
    request: pytest.FixtureRequest,
    image_folder: ImageFolder,
    cifar: Callable[..., Path],
    tmp_path: Path,
) -> Kind:
    count = 20 if request.param == "digits" else 4
    asked = {"image_px": PX, "splits": Splits(validation=count, test=count)}
    if request.param == "cifar":
        return Cifar(Data(kind="cifar", path=cifar(), **asked))
    if request.param == "npz":
        return Npz(Data(kind="npz", path=write_arrays(tmp_path), **asked))
    if request.param == "digits":
        return Digits(Data(kind="digits", **asked))
    root = image_folder({"cat": PER_CLASS, "dog": PER_CLASS})
    if request.param == "csv":
        return Csv(Data(kind="csv", path=write_table(root), **asked))
    return Folder(Data(path=root, **asked))


def ready(source: Kind, tmp_path: Path) -> ImageData:
    return prepare(source.data, tmp_path / "cache")


def test_every_kind_is_held_to_this_here_or_where_tensorflow_may_be_imported() -> None:
    assert set(HERE) | {"tfds"} == set(SOURCES)  # "tfds" is in test_tfds.py


@pytest.mark.parametrize("source", HERE, indirect=True)
def test_splits_are_disjoint_and_each_shows_every_class(source: Kind, tmp_path: Path) -> None:
    data = ready(source, tmp_path)
    rows = np.concatenate([data.splits[split] for split in SPLITS])
    assert len(np.unique(rows)) == len(rows)
    for split in SPLITS:
        assert set(data.split_labels(split)) == set(range(len(data.classes)))


@pytest.mark.parametrize("source", HERE, indirect=True)
def test_keys_are_distinct_and_a_second_look_finds_the_same(source: Kind, tmp_path: Path) -> None:
    first, again = list_source(source.data), list_source(source.data)
    assert len({example.key for example in first.examples}) == len(first.examples)
    assert list(first.examples) == list(again.examples)
    assert ready(source, tmp_path).fingerprint == ready(source, tmp_path).fingerprint


@pytest.mark.parametrize("source", ON_DISK, indirect=True)
@pytest.mark.parametrize("what", ["change_picture", "change_label"])
def test_the_fingerprint_follows_pictures_and_labels(
    source: Kind, tmp_path: Path, what: str
) -> None:
    before = ready(source, tmp_path)
    getattr(source, what)()
    after = ready(source, tmp_path)
    assert after.fingerprint != before.fingerprint
    assert (after.images_path != before.images_path) or what == "change_label"


@pytest.mark.parametrize("source", ON_DISK, indirect=True)
def test_what_cannot_be_read_is_named(source: Kind, tmp_path: Path) -> None:
    damaged = source.damage()
    with pytest.raises(DataError) as refused:
        ready(source, tmp_path)
    assert str(refused.value).startswith(f"{damaged}: ")


@pytest.mark.parametrize("source", HERE, indirect=True)
def test_the_original_pictures_are_those_that_were_decoded(source: Kind, tmp_path: Path) -> None:
    data = ready(source, tmp_path)
    rows = data.splits["validation"]
    files = original_pictures(source.data, rows, tmp_path / "originals")
    squares = np.stack([resize(read_pixels(file), PX) for file in files])
    np.testing.assert_array_equal(squares, data.images("validation")[:])


@pytest.mark.parametrize("source", HERE, indirect=True)
def test_classes_are_renamed_and_merged_whatever_the_kind(source: Kind) -> None:
    plain = list_source(source.data)
    first, *others = plain.classes
    names = {first: "the first", "*": "another"}
    found = list_source(source.data.model_copy(update={"classes": names, "strict_classes": True}))
    assert found.classes == ("another", "the first")
    for before, after in zip(plain.examples, found.examples, strict=True):
        assert (plain.classes[before.label] in others) == (found.classes[after.label] == "another")


@pytest.mark.parametrize("source", HERE, indirect=True)
def test_pooled_splits_are_by_count(source: Kind, tmp_path: Path) -> None:
    everything, asked = len(list_source(source.data).examples), source.data.splits
    data = prepare(source.data.model_copy(update={"pool": True}), tmp_path / "cache")
    assert len(data.splits["validation"]) == asked.validation
    assert len(data.splits["test"]) == asked.test
    assert sum(len(rows) for rows in data.splits.values()) == everything
