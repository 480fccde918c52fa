"""Laws of a shared pass: rows are made once even if processes die; arrays are whole or absent."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_arrays import ROWS, SHARD, A, B, assert_whole, makes, rows_of

from tlsearch.store.arrays import ArrayStore
from tlsearch.store.entries import entries
from tlsearch.store.shards import ArraySpec, Block, Pass

STARTS = range(0, ROWS, SHARD)

WORKER = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
import tlsearch.store.shards
from tlsearch.store.arrays import ArrayStore, NoRoomError
from tlsearch.store.shards import ArraySpec

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
        time.sleep(0.02)
        return [
            (np.arange(np.prod(spec.shape)).reshape(spec.shape) * 7 % 251)[start:stop]
            .astype(spec.dtype) for spec in (specs[place] for place in missing)
        ]
    return block

def dies_at_the_second(*marker, marked=[], write=tlsearch.store.shards.write_json):
    marked.append(die() if marked else write(*marker))

if dies == "marker":
    tlsearch.store.shards.write_json = dies_at_the_second
if dies == "rename":
    Path.replace = die
print("ready", flush=True)
sys.stdin.readline()
try:
    budget, writers = int(sys.argv[5]) or None, int(sys.argv[6])
    found = ArrayStore(root, budget).open_together(specs, prepare, 64, writers=writers)
except NoRoomError:
    sys.exit(print("NoRoomError"))
print(int(sum(array.astype(int).sum() for array in found)))
"""


def together(
    root: Path, workers: list[tuple[str, str]], budget: int = 0, writers: int = 1
) -> tuple[list[str], Counter[int]]:
    """Run processes (how it dies, the arrays it opens) in one pass.

    Returns what each printed, and how often each row was made.
    """
    log = root.parent / "made"
    log.touch()
    command = [sys.executable, "-c", WORKER, str(root), str(log)]
    processes = [
        subprocess.Popen(
            [*command, dies, names, str(budget), str(writers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for dies, names in workers
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=30)[0].strip() for process in processes]
    for process, (dies, _) in zip(processes, workers, strict=True):
        assert process.returncode == (0 if dies == "never" else -signal.SIGKILL)
    return printed, Counter(map(int, log.read_text().split()))


def total(*specs: ArraySpec) -> str:
    return str(sum(int(rows_of(spec, 0, ROWS).astype(int).sum()) for spec in specs))


def test_four_processes_at_one_pass_make_every_row_once(tmp_path: Path) -> None:
    output, made = together(tmp_path / "s", [("never", "ab")] * 4)
    assert output == [total(A, B)] * 4
    assert made == dict.fromkeys(STARTS, 1)
    assert_whole(tmp_path / "s", A, B)


@pytest.mark.parametrize("writers", [0, 1])
@pytest.mark.parametrize("dies", ["block", "marker"])
def test_what_a_killed_process_was_at_another_makes_again(
    tmp_path: Path, dies: str, writers: int
) -> None:
    """The work is one shard and, with a writer, perhaps the next one, computed meanwhile."""
    root = tmp_path / "s"
    output, made = together(root, [(dies, "ab"), ("never", "ab")], writers=writers)
    assert output == ["", total(A, B)]
    assert set(made) == set(STARTS)
    assert max(made.values()) == 2
    assert 1 <= made.total() - len(STARTS) <= 1 + writers
    assert_whole(root, A, B)


def test_a_pass_whose_processes_all_died_is_gone_on_with(tmp_path: Path) -> None:
    together(tmp_path / "s", [("block", "ab")])
    assert not (tmp_path / "s" / "a.npy").exists()
    _, made = together(tmp_path / "s", [("never", "ab")])
    assert 1 <= made.total() - len(STARTS) <= 2
    assert_whole(tmp_path / "s", A, B)


def test_killed_before_the_rename_the_next_one_only_renames(tmp_path: Path) -> None:
    together(tmp_path / "s", [("rename", "ab")])
    assert not (tmp_path / "s" / "a.npy").exists()
    _, made = together(tmp_path / "s", [("never", "ab")])
    assert made == dict.fromkeys(STARTS, 1)
    assert_whole(tmp_path / "s", A, B)


def test_processes_short_of_room_take_turns(tmp_path: Path) -> None:
    """The budget fits one array; each process gets the right array or NoRoomError."""
    output, _ = together(
        tmp_path / "s", [("never", "a"), ("never", "b"), ("never", "ab")], A.file_bytes + 100
    )
    assert set(output) <= {total(A), total(B), "NoRoomError"}
    assert output[2] == "NoRoomError"
    assert sum(entry.bytes for entry in entries(tmp_path / "s")) <= A.file_bytes + 100


def test_different_sets_at_one_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    output, made = together(
        tmp_path / "s", [("never", "ab"), ("never", "b"), ("never", "ba"), ("never", "b")]
    )
    assert output == [total(A, B), total(B)] * 2
    assert max(made.values()) <= 3  # once for each different set
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


@pytest.mark.parametrize("writers", [0, 1])
def test_a_maker_that_fails_leaves_what_it_made_to_the_next(tmp_path: Path, writers: int) -> None:
    def fails(missing: tuple[int, ...]) -> Block:
        def block(start: int, stop: int) -> list[np.ndarray]:
            if start == 2 * SHARD:
                raise RuntimeError("out of memory")
            return list(makes(A)(missing)(start, stop))

        return block

    with pytest.raises(RuntimeError, match="out of memory"):
        ArrayStore(tmp_path).open_together([A], fails, SHARD, writers=writers)
    assert entries(tmp_path) == []
    assert computed(tmp_path, A) == list(STARTS)[2:]
    assert_whole(tmp_path, A)


def computed(root: Path, spec: ArraySpec) -> list[int]:
    """Return the starts of the shards that still have to be computed for an array."""
    began: list[int] = []

    def counts(missing: tuple[int, ...]) -> Block:
        return lambda start, stop: began.append(start) or makes(spec)(missing)(start, stop)

    ArrayStore(root).open_together([spec], counts, SHARD)
    return began


@settings(deadline=None, max_examples=12)
@given(shard_rows=st.integers(10, ROWS + 9), writers=st.integers(0, 1))
def test_files_are_the_same_whatever_the_size_of_shards(shard_rows: int, writers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ArrayStore(Path(folder))
        store.open_together([A, B], makes(A, B), shard_rows, writers=writers)
        assert_whole(Path(folder), A, B)
        for spec in (A, B):
            whole = rows_of(spec, 0, ROWS)
            assert store.path(spec.key).read_bytes() == spec.header + whole.tobytes()


def test_a_shard_is_computed_while_the_one_before_is_written_and_not_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, flush = threading.Event(), os.fsync

    def waits(file: int) -> None:
        assert second.wait(10), "the second shard is not computed before the first is written"
        flush(file)

    def prepare(missing: tuple[int, ...]) -> Block:
        def block(start: int, stop: int) -> list[np.ndarray]:
            if start:
                second.set()
                monkeypatch.setattr(os, "fsync", flush)
            assert len([*tmp_path.glob("*.pass/*.done")]) >= start // SHARD - 1
            return list(makes(A)(missing)(start, stop))

        return block

    store = ArrayStore(tmp_path)
    allocated = Pass(tmp_path, [A], SHARD)
    allocated.folder.mkdir()
    allocated.allocate()
    monkeypatch.setattr(os, "fsync", waits)
    store.open_together([A], prepare, SHARD, writers=1)
    assert_whole(tmp_path, A)


def test_markers_follow_their_data_in_the_order_of_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, marked = [], []
    flush, replace = os.fsync, os.replace

    def note_flush(file: int) -> None:
        flush(file)
        flushed.append(os.readlink(f"/proc/self/fd/{file}").endswith(".npy"))

    def note_marker(source: str, target: Path) -> None:
        if target.suffix == ".done":
            marked.append((int(target.stem), sum(flushed)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(os, "replace", note_marker)
    ArrayStore(tmp_path).open_together([A, B], makes(A, B), SHARD, writers=1)
    assert marked == [(shard, 2 * (shard + 1)) for shard in range(len(STARTS))]


def test_an_error_of_the_writer_reaches_the_caller_and_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, flush, times = threading.active_count(), os.fsync, itertools.count()

    def fills_up(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith(".npy") and next(times) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(OSError, match="No space left"):
        ArrayStore(tmp_path).open_together([A], makes(A), SHARD, writers=1)
    assert threading.active_count() == threads
    assert 2 * SHARD in computed(tmp_path, A)
    assert_whole(tmp_path, A)


@pytest.mark.parametrize("wrong", [np.zeros((SHARD, 4), "f4"), np.zeros((SHARD, 3), "f8")])
def test_blocks_of_another_kind_are_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^a: the block is \(64, .\) float.*, expected \(64, 3\)"):
        ArrayStore(tmp_path).open_together([A], lambda _: lambda *_: [wrong], SHARD)
    assert entries(tmp_path) == []
