"""CIFAR's pickled batches: classes, splits, and pixels assembled from colour planes."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tlsearch.base.errors import DataError
from tlsearch.data.kinds.cifar import list_cifar

Cifar = Callable[..., Path]


@pytest.mark.parametrize(
    ("classes", "names", "batches"),
    [(10, ("airplane", "automobile"), 5), (100, ("apple", "bee"), 1)],
)
def test_both_sets_are_listed_with_their_own_splits(
    cifar: Cifar, classes: int, names: tuple[str, ...], batches: int
) -> None:
    listing = list_cifar(cifar(classes, per_batch=4))
    assert listing.classes == names
    assert [example.label for example in listing.examples] == [0, 1, 0, 1] * (batches + 1)
    splits = [example.split for example in listing.examples]
    assert splits == ["train"] * 4 * batches + ["test"] * 4
    assert len({example.key for example in listing.examples}) == len(splits)


def test_a_row_is_the_red_plane_then_green_then_blue(cifar: Cifar) -> None:
    root = cifar()
    data = np.zeros((2, 3072), np.uint8)
    data[0, :1024] = 7  # red
    data[1, 1024 + 32 * 3 + 5] = 9  # green, row 3, column 5
    (root / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": [0, 1]}))
    *_, red, green = list_cifar(root).pictures()
    assert red.shape == (32, 32, 3)
    assert (red == [7, 0, 0]).all()
    assert np.argwhere(green).tolist() == [[3, 5, 1]]


def test_a_changed_batch_is_another_version(cifar: Cifar) -> None:
    before = list_cifar(cifar()).examples
    root = cifar(per_batch=6)
    assert {e.version for e in before}.isdisjoint(e.version for e in list_cifar(root).examples)


LABELS = [0, 1, 0, 1]
FINE = np.zeros((4, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "problem"),
    [
        ({"labels": LABELS}, "found no data, expected an array (n, 3072) of bytes"),
        ({"data": FINE.astype(float), "labels": LABELS}, "found no data, expected an array"),
        ({"data": FINE[:, :3], "labels": LABELS}, "found data of shape (4, 3), expected (n, 3072)"),
        ({"data": FINE}, "expected 4 labels, one per image"),
        ({"data": FINE, "labels": LABELS[1:]}, "expected 4 labels, one per image"),
        ({"data": FINE, "labels": [0, 1, 2, 1]}, "expected labels from 0 to 1"),
        ({"data": FINE, "labels": [0, 1, "0", 1]}, "expected labels from 0 to 1"),
    ],
)
def test_a_batch_that_is_none_is_named(cifar: Cifar, batch: dict, problem: str) -> None:
    root = cifar()
    (root / "data_batch_3").write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError) as refused:
        list_cifar(root)
    assert str(refused.value).startswith(f"{root}/data_batch_3: {problem}")


def test_a_folder_that_holds_no_batches_says_what_it_looked_for(
    cifar: Cifar, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        list_cifar(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: found neither batches.meta (CIFAR-10) nor meta (CIFAR-100); expected the "
        "unpacked folder cifar-10-batches-py or cifar-100-python"
    )
    root = cifar()
    for name in ("data_batch_2", "test_batch"):
        (root / name).unlink()
    with pytest.raises(DataError) as refused:
        list_cifar(root)
    assert str(refused.value).splitlines() == [
        f"{root}/data_batch_2: no such file",
        f"{root}/test_batch: no such file",
    ]


def test_names_that_are_none_are_named(cifar: Cifar) -> None:
    root = cifar()
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": 3}))
    with pytest.raises(DataError, match=r"batches.meta: found no label_names"):
        list_cifar(root)
