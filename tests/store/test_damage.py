"""Damaged arrays and passes are made again, and a full disk is reported before the work."""

import errno
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from small_arrays import ROWS, SHARD, A, B, assert_whole, begun, makes, never

from tlsearch.store.arrays import ArrayStore
from tlsearch.store.entries import entries
from tlsearch.store.shards import ArraySpec, Pass


@pytest.mark.parametrize("length", [0, 1, 7, 60, 127, 128, A.file_bytes - 1])
def test_a_truncated_entry_is_made_again_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    store = ArrayStore(tmp_path)
    store.open_together([A, B], makes(A, B), SHARD)
    with store.path("a").open("r+b") as file:
        file.truncate(length)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        store.open_together([A, B], makes(A, B), SHARD)
    (warning,) = caplog.messages
    assert warning.startswith(f"{store.path('a')} is damaged (")
    assert_whole(tmp_path, A, B)


def test_an_entry_of_another_shape_is_made_again_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((ROWS, 2), "f4"))
    with caplog.at_level(logging.WARNING):
        ArrayStore(tmp_path).open_together([A], makes(A), SHARD)
    (warning,) = caplog.messages
    assert warning == (
        f"{tmp_path}/a.npy: found (500, 2) float32, expected (500, 3) float32: computing it again"
    )


def _truncate_partial(work: Pass) -> None:
    os.truncate(work.partial(0), 300)


def _spoil_header(work: Pass) -> None:
    with work.partial(1).open("r+b") as file:
        file.write(b"\0")


def _swap_partial(work: Pass) -> None:
    other = work.folder / "other"
    shutil.copy(work.partial(0), other)
    other.write_bytes(other.read_bytes()[:128] + bytes(A.file_bytes - 128))
    other.replace(work.partial(0))


def _spoil_markers(work: Pass) -> None:
    for shard, text in enumerate(["", "{", '{"version": 2}', '{"digests": 2, "seconds": 1}']):
        (work.folder / f"{shard}.done").write_text(text)


def _markers_of_fewer_arrays(work: Pass) -> None:
    path = work.folder / "1.done"
    marker = json.loads(path.read_text())
    path.write_text(json.dumps(marker | {"digests": marker["digests"][:1]}))


def _no_partials(work: Pass) -> None:
    work.partial(0).unlink()
    work.partial(1).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _truncate_partial,
        _spoil_header,
        _swap_partial,
        _spoil_markers,
        _markers_of_fewer_arrays,
        _no_partials,
    ],
)
def test_damaged_partial_files_and_markers_are_made_again(
    tmp_path: Path, damage: Callable[[Pass], None]
) -> None:
    damage(begun(tmp_path))
    ArrayStore(tmp_path).open_together([A, B], makes(A, B), SHARD)
    assert_whole(tmp_path, A, B)


def test_a_disk_that_fills_up_while_writing_is_an_error_and_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begun(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            ArrayStore(tmp_path).open_together([A, B], makes(A, B), SHARD)
    assert entries(tmp_path) == []
    assert len(list(work.folder.glob("*.done"))) == 4
    ArrayStore(tmp_path).open_together([A, B], makes(A, B), SHARD)
    assert_whole(tmp_path, A, B)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield disk
    finally:  # lazily, because arrays of a failed test may still be mapped
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.faults
def test_a_full_disk_is_said_before_anything_is_computed(small_disk: Path) -> None:
    big = ArraySpec("big", (ROWS, 100), "float32")
    with pytest.raises(OSError, match="No space left on device") as raised:
        ArrayStore(small_disk).open_together([A, big], never, SHARD)
    assert raised.value.filename == str(small_disk)
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]
    ArrayStore(small_disk).open_together([A], makes(A), SHARD)
    assert_whole(small_disk, A)
