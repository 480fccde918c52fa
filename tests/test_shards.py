"""Laws of a shared pass: every row is made once, whoever dies; arrays are whole or not there."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlsearch.arrays import ArrayStore, NoRoomError
from tlsearch.entries import array_checksum, entries
from tlsearch.shards import ArraySpec, Block, Pass

ROWS, SHARD = 500, 64
A, B = ArraySpec("a", (ROWS, 3), "float32"), ArraySpec("b", (ROWS, 2, 2), "uint8")
STARTS = range(0, ROWS, SHARD)


def rows_of(spec: ArraySpec, start: int, stop: int) -> np.ndarray:
    whole = np.arange(np.prod(spec.shape)).reshape(spec.shape) * 7 % 251
    return whole[start:stop].astype(spec.dtype)


def makes(*specs: ArraySpec) -> Callable[[tuple[int, ...]], Block]:
    """What gives the missing ones of these arrays."""

    def prepare(missing: tuple[int, ...]) -> Block:
        return lambda start, stop: [rows_of(specs[m], start, stop) for m in missing]

    return prepare


def never(missing: tuple[int, ...]) -> Block:
    raise AssertionError("computed although it was there")


def assert_whole(root: Path, *specs: ArraySpec) -> None:
    """The arrays are there, right, with checksums that hold, and nothing else is left."""
    for spec, found in zip(specs, ArrayStore(root).open_together(specs, never, SHARD), strict=True):
        np.testing.assert_array_equal(found, rows_of(spec, 0, ROWS))
        assert not found.flags.writeable
    for entry in entries(root):
        assert entry.about is not None
        found = np.load(entry.path, mmap_mode="r")
        assert array_checksum(found, entry.about.shard_rows) == entry.about.checksum
    left = {path.suffix for path in root.iterdir()}
    assert left <= {".npy", ".json", ".lock"}


WORKER = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
import tlsearch.shards
from tlsearch.arrays import ArrayStore, NoRoomError
from tlsearch.shards import ArraySpec

root, log, dies, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
shapes = {"a": ((500, 3), "float32"), "b": ((500, 2, 2), "uint8")}
specs = [ArraySpec(name, *shapes[name]) for name in names]
blocks = 0

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def prepare(missing):
    def block(start, stop):
        global blocks
        blocks += 1
        with log.open("a") as file:
            file.write(f"{start}\\n")
        if dies == "block" and blocks == 2:
            die()
        if dies == "marker" and blocks == 2:
            tlsearch.shards.write_json = die
        time.sleep(0.02)
        return [
            (np.arange(np.prod(spec.shape)).reshape(spec.shape) * 7 % 251)[start:stop]
            .astype(spec.dtype) for spec in (specs[place] for place in missing)
        ]
    return block

if dies == "rename":
    Path.replace = die
print("ready", flush=True)
sys.stdin.readline()
try:
    found = ArrayStore(root, int(sys.argv[5]) or None).open_together(specs, prepare, 64)
except NoRoomError:
    sys.exit(print("NoRoomError"))
print(int(sum(array.astype(int).sum() for array in found)))
"""


def together(
    root: Path, workers: list[tuple[str, str]], budget: int = 0
) -> tuple[list[str], Counter[int]]:
    """Processes (how it dies, what it asks for) at one pass: what each says, rows' makings."""
    log = root.parent / "made"
    log.touch()
    command = [sys.executable, "-c", WORKER, str(root), str(log)]
    all_of_them = [
        subprocess.Popen(
            [*command, dies, names, str(budget)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for dies, names in workers
    ]
    for process in all_of_them:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in all_of_them:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0].strip() for process in all_of_them]
    for process, (dies, _) in zip(all_of_them, workers, strict=True):
        assert process.returncode == (0 if dies == "never" else -signal.SIGKILL)
    return said, Counter(map(int, log.read_text().split()))


def total(*specs: ArraySpec) -> str:
    return str(sum(int(rows_of(spec, 0, ROWS).astype(int).sum()) for spec in specs))


def test_four_processes_at_one_pass_make_every_row_once(tmp_path: Path) -> None:
    said, made = together(tmp_path / "s", [("never", "ab")] * 4)
    assert said == [total(A, B)] * 4
    assert made == dict.fromkeys(STARTS, 1)
    assert_whole(tmp_path / "s", A, B)


@pytest.mark.parametrize("dies", ["block", "marker"])
def test_what_a_killed_process_was_at_another_makes_again(tmp_path: Path, dies: str) -> None:
    said, made = together(tmp_path / "s", [(dies, "ab"), ("never", "ab")])
    assert said == ["", total(A, B)]
    assert set(made) == set(STARTS)
    assert sorted(made.values()) == [1] * (len(STARTS) - 1) + [2]
    assert_whole(tmp_path / "s", A, B)


def test_a_pass_whose_processes_all_died_is_gone_on_with(tmp_path: Path) -> None:
    together(tmp_path / "s", [("block", "ab")])
    assert not (tmp_path / "s" / "a.npy").exists()
    _, made = together(tmp_path / "s", [("never", "ab")])
    assert sorted(made.values()) == [1] * (len(STARTS) - 1) + [2]
    assert_whole(tmp_path / "s", A, B)


def test_killed_before_the_rename_the_next_one_only_renames(tmp_path: Path) -> None:
    together(tmp_path / "s", [("rename", "ab")])
    assert not (tmp_path / "s" / "a.npy").exists()
    _, made = together(tmp_path / "s", [("never", "ab")])
    assert made == dict.fromkeys(STARTS, 1)
    assert_whole(tmp_path / "s", A, B)


def test_processes_short_of_room_take_turns(tmp_path: Path) -> None:
    """The budget holds one set; whoever comes last has its arrays right nevertheless."""
    said, _ = together(
        tmp_path / "s", [("never", "a"), ("never", "b"), ("never", "ab")], A.file_bytes + 100
    )
    assert set(said) <= {total(A), total(B), "NoRoomError"}
    assert said[2] == "NoRoomError"
    assert sum(entry.bytes for entry in entries(tmp_path / "s")) <= A.file_bytes + 100


def test_different_sets_at_one_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    said, made = together(
        tmp_path / "s", [("never", "ab"), ("never", "b"), ("never", "ba"), ("never", "b")]
    )
    assert said == [total(A, B), total(B)] * 2
    assert max(made.values()) <= 3  # a time for each different set
    assert_whole(tmp_path / "s", A, B)


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    store.open_together([B], makes(B), SHARD)
    asked: list[tuple[int, ...]] = []

    def prepare(missing: tuple[int, ...]) -> Block:
        asked.append(missing)
        return makes(A, B)(missing)

    store.open_together([A, B], prepare, SHARD)
    assert asked == [(0,)]
    assert_whole(tmp_path, A, B)


def test_a_maker_that_fails_leaves_what_it_made_to_the_next(tmp_path: Path) -> None:
    def fails(missing: tuple[int, ...]) -> Block:
        def block(start: int, stop: int) -> list[np.ndarray]:
            if start == 2 * SHARD:
                raise RuntimeError("out of memory")
            return list(makes(A)(missing)(start, stop))

        return block

    with pytest.raises(RuntimeError, match="out of memory"):
        ArrayStore(tmp_path).open_together([A], fails, SHARD)
    assert entries(tmp_path) == []
    began: list[int] = []

    def counts(missing: tuple[int, ...]) -> Block:
        return lambda start, stop: began.append(start) or makes(A)(missing)(start, stop)

    ArrayStore(tmp_path).open_together([A], counts, SHARD)
    assert began == list(STARTS)[2:]
    assert_whole(tmp_path, A)


@pytest.mark.parametrize("wrong", [np.zeros((SHARD, 4), "f4"), np.zeros((SHARD, 3), "f8")])
def test_blocks_of_another_kind_are_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^a: the block is \(64, .\) float.*, expected \(64, 3\)"):
        ArrayStore(tmp_path).open_together([A], lambda _: lambda *_: [wrong], SHARD)
    assert entries(tmp_path) == []


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


def begun(root: Path) -> Pass:
    """A pass that stopped after four shards, whose partial files and markers are there."""

    def fails(missing: tuple[int, ...]) -> Block:
        def block(start: int, stop: int) -> Any:
            if start == 4 * SHARD:
                raise KeyboardInterrupt
            return makes(A, B)(missing)(start, stop)

        return block

    with pytest.raises(KeyboardInterrupt):
        ArrayStore(root).open_together([A, B], fails, SHARD)
    return Pass(root, [A, B], SHARD)


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
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.faults
def test_a_full_disk_is_said_before_anything_is_computed(small_disk: Path) -> None:
    big = ArraySpec("big", (ROWS, 100), "float32")
    with pytest.raises(OSError, match="No space left on device") as raised:
        ArrayStore(small_disk).open_together([A, big], never, SHARD)
    assert raised.value.filename == str(small_disk)
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]
    ArrayStore(small_disk).open_together([A], makes(A), SHARD)
    assert_whole(small_disk, A)


def test_what_the_budget_cannot_hold_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    with pytest.raises(NoRoomError):
        ArrayStore(tmp_path, A.file_bytes - 1).open_together([A], never, SHARD)
    assert entries(tmp_path) == []
    ArrayStore(tmp_path, A.file_bytes).open_together([A], makes(A), SHARD)
    assert_whole(tmp_path, A)


def test_the_least_recently_opened_makes_room_but_never_what_is_asked_for(tmp_path: Path) -> None:
    c, d = (ArraySpec(key, A.shape, A.dtype) for key in "cd")
    store = ArrayStore(tmp_path, 3 * A.file_bytes)
    for age, spec in enumerate((A, c, d)):
        store.open_together([spec], makes(spec), SHARD)
        os.utime(store.path(spec.key), (age, age))
    mapped = store.open_together([A], never, SHARD)  # now c was not used for longest
    e, f = (ArraySpec(key, A.shape, A.dtype) for key in "ef")
    store.open_together([e], makes(e), SHARD)
    assert {entry.key for entry in entries(tmp_path)} == {"a", "d", "e"}
    os.utime(store.path("a"), (0, 0))
    store.open_together([A, f], makes(A, f), SHARD)
    assert {entry.key for entry in entries(tmp_path)} == {"a", "e", "f"}
    os.utime(store.path("a"), (0, 0))
    store.open_together([d], makes(d), SHARD)
    assert not store.path("a").exists()
    np.testing.assert_array_equal(mapped[0], rows_of(A, 0, ROWS))  # who has it mapped reads on


def test_what_is_being_made_counts_and_stays(tmp_path: Path) -> None:
    work, budget = begun(tmp_path), A.file_bytes + B.file_bytes
    c = ArraySpec("c", A.shape, A.dtype)
    with work.joined(), pytest.raises(NoRoomError):
        ArrayStore(tmp_path, budget).open_together([c], never, SHARD)
    ArrayStore(tmp_path, budget).open_together([A, B], makes(A, B), SHARD)
    assert_whole(tmp_path, A, B)


def test_a_pass_that_died_makes_room(tmp_path: Path) -> None:
    begun(tmp_path)
    c = ArraySpec("c", A.shape, A.dtype)
    ArrayStore(tmp_path, A.file_bytes + B.file_bytes).open_together([c], makes(c), SHARD)
    (entry,) = entries(tmp_path)
    assert entry.key == "c"
    assert not list(tmp_path.glob("*.pass"))
