"""Laws of a shared pass: every row is made once, whoever dies; arrays are whole or not there."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_arrays import ROWS, SHARD, A, B, assert_whole, makes, rows_of

from tlsearch.store.arrays import ArrayStore
from tlsearch.store.entries import entries
from tlsearch.store.shards import ArraySpec, Block

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
        if dies == "marker" and blocks == 2:
            tlsearch.store.shards.write_json = die
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
