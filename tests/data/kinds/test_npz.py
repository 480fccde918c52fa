"""Images and labels in an `.npz` file: what is read, and what is refused without running code."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlsearch.base.errors import DataError
from tlsearch.data.kinds.npz import list_npz

GREY = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path / "data.npz", **arrays)
    return path / "data.npz"


def test_grey_images_become_three_planes_and_numbers_are_names(tmp_path: Path) -> None:
    found = list_npz(saved(tmp_path, images=GREY, labels=[10, 9, 10, 9]))
    assert found.classes == ("9", "10")
    assert [example.label for example in found.examples] == [1, 0, 1, 0]
    images = [*found.pictures()]
    assert all(np.array_equal(image[:, :, plane], GREY[i]) for i, image in enumerate(images)
               for plane in range(3))  # fmt: skip


def test_labels_count_from_0_in_the_names_of_classes(tmp_path: Path) -> None:
    names = np.array(["cat", "never", "dog"])
    found = list_npz(saved(tmp_path, images=GREY, labels=np.array([2, 0, 2, 0]), classes=names))
    assert [found.classes[one.label] for one in found.examples] == ["dog", "cat", "dog", "cat"]
    with pytest.raises(DataError, match="labels: found 0 to 3, expected 0 to 2"):
        list_npz(saved(tmp_path, images=GREY, labels=np.array([3, 0, 2, 0]), classes=names))


@pytest.mark.parametrize(
    ("arrays", "printed"),
    [
        ({"images": GREY}, "no array labels in it; found images"),
        ({"images": GREY / 255, "labels": [0, 1, 0, 1]}, r"of float64, expected .* of uint8"),
        ({"images": GREY[0], "labels": [0, 1]}, r"found \(5, 6\) of uint8"),
        ({"images": GREY, "labels": [0, 1]}, r"labels: found \(2,\) of int64, expected \(4,\)"),
        ({"images": GREY, "labels": [0.5, 1, 0, 1]}, "labels: found .* expected numbers or names"),
        ({"images": GREY[:0], "labels": np.empty(0, int)}, "images: found 0, expected 1 to"),
        (
            {"images": np.asfortranarray(GREY), "labels": [0, 1, 0, 1]},
            r"images: found Fortran \(column-major\) order, expected C order; save "
            r"numpy\.ascontiguousarray\(images\)",
        ),
        (
            {"images": GREY[:, :0], "labels": [0, 1, 0, 1]},
            r"images: found 0 x 6 pixels, expected 1 to \d+ pixels",
        ),
        (
            {"images": GREY, "labels": ["a" * 1001, "b", "a", "b"]},
            "labels: found names of up to 1001 characters, expected at most 1000",
        ),
        ({"images": GREY, "labels": np.array([len, 1, 2, 3], object)}, "Python objects"),
        (
            {"images": GREY, "labels": list("abab"), "classes": [1, 2]},
            "classes: expected distinct names",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_file_and_the_array(
    tmp_path: Path, arrays: dict[str, Any], printed: str
) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(DataError, match=printed) as refused:
        list_npz(path)
    assert str(refused.value).startswith(f"{path}: ")


def header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    file = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(10**12, 8, 8), (4, 10**6, 10**6), (4, 0, 8), (-4, 8, 8)])
def test_sizes_that_no_data_has_are_refused_before_memory_is_asked_for(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header(shape))
        archive.writestr("labels.npy", header((4,)) + bytes(4))
    with pytest.raises(DataError, match="images"):
        list_npz(path)


def test_labels_that_would_fill_the_memory_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header((10**6, 8, 8)))
        archive.writestr("labels.npy", header((10**6,), "<U1000"))
    printed = "labels: found 4000000000 bytes, expected at most 1073741824"
    with pytest.raises(DataError, match=printed):
        list_npz(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, images=GREY, labels=[0, 1, 0, 1])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"data\.npz: cannot be read as an \.npz file"):
        list_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header((4, 5, 6)) + bytes(5 * 6 * 3))
        archive.writestr("labels.npy", header((4,)) + bytes([0, 1, 0, 1]))
    with pytest.raises(DataError, match="it ends too early"):
        [*list_npz(path).pictures()]
