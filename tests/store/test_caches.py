"""Laws of a whole cache: it finds damage, evicts what it may, and keeps what is in use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.features import Activation, FeatureKey, FeatureStore
from tlsearch.store.arrays import ArrayStore
from tlsearch.store.caches import (
    CacheEntry,
    cache_entries,
    entry_problem,
    evict,
    make_room,
    mapped_files,
    paths_in_use,
    remove_faulty,
    remove_leftovers,
    to_prune,
)
from tlsearch.store.entries import Entry, sidecar
from tlsearch.store.users import is_used, mark_used

ROWS = np.arange(400, dtype=np.float32).reshape(100, 4)
KEYS = [
    FeatureKey("keras.applications:MobileNetV2 ab12", cut, "tf", 48, "float16", "i")
    for cut in ("pool", "block_14_add")
]


def fill(cache: Path) -> list[CacheEntry]:
    """Fill a cache with two features and one array of images; the images are the oldest."""
    store = FeatureStore(cache, "float16")
    for key in KEYS:
        store.open_together([Activation(key, (4,))], 100, lambda _: lambda a, b: [ROWS[a:b]], 32)
    images = ArrayStore(cache / "images")
    what = {"source": "/photos", "image_px": 8}
    images.open("0" * 32, 3, lambda: [np.ones((3, 8, 8, 3), np.uint8)], what)
    os.utime(images.path("0" * 32), (0, 0))
    return cache_entries(cache)


def test_a_cache_says_what_it_holds_least_recently_used_first(tmp_path: Path) -> None:
    assert [(one.kind, one.description) for one in fill(tmp_path)] == [
        ("images", "/photos 8 px"),
        ("features", "MobileNetV2 pool 48 px float16"),
        ("features", "MobileNetV2 block_14_add 48 px float16"),
    ]
    assert cache_entries(tmp_path / "gone") == []


def test_an_entry_that_nothing_describes_is_its_key(tmp_path: Path) -> None:
    (images, *_) = fill(tmp_path)
    sidecar(images.entry.path).unlink()
    assert cache_entries(tmp_path)[0].description == "0" * 32
    assert entry_problem(cache_entries(tmp_path)[0].entry) is None


def test_an_array_that_is_not_of_the_cache_is_not_its_business(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "mine.npy", ROWS)
    (tmp_path / "images" / "mine.json").write_text("{}")
    assert cache_entries(tmp_path) == []
    assert list(remove_leftovers(tmp_path)) == []


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("where", [0, 30, 128, 200, -1])
def test_a_wrong_byte_anywhere_is_found(tmp_path: Path, place: int, where: int) -> None:
    entry = fill(tmp_path)[place].entry
    assert entry_problem(entry) is None
    data = bytearray(entry.path.read_bytes())
    data[where] ^= 0xFF
    entry.path.write_bytes(data)
    assert entry_problem(entry)
    remove_faulty(entry)
    assert len(cache_entries(tmp_path)) == 2
    assert not sidecar(entry.path).exists()


def test_what_was_mended_meanwhile_stays(tmp_path: Path) -> None:
    entry = fill(tmp_path)[1].entry
    remove_faulty(entry)
    assert entry.path.exists()


sizes = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5), st.booleans()), max_size=8)


@given(sizes=sizes, to_bytes=st.integers(0, 100))
def test_pruning_to_a_size_takes_just_enough_and_nothing_paths_in_use(
    sizes: list[tuple[int, int, bool]], to_bytes: int
) -> None:
    every = [
        CacheEntry("features", Entry(Path(f"/c/{place}.npy"), size, float(used), None))
        for place, (size, used, _) in enumerate(sizes)
    ]
    in_use = {one.entry.path for one, (*_, busy) in zip(every, sizes, strict=True) if busy}
    going = to_prune(every, to_bytes, None, in_use)
    assert not [one for one in going if one.entry.path in in_use]
    kept = sum(one.entry.bytes for one in every if one not in going)
    could_go = [one for one in every if one.entry.path not in in_use and one not in going]
    assert kept <= to_bytes or sum(one.entry.bytes for one in could_go) == 0
    if going:
        last = max(going, key=lambda one: (one.entry.last_used, one.entry.key))
        assert kept + last.entry.bytes > to_bytes


def test_pruning_by_age_or_all(tmp_path: Path) -> None:
    every = fill(tmp_path)
    assert to_prune(every, None, 3600, ()) == every[:1]
    assert to_prune(every, None, None, ()) == every
    assert to_prune(every, None, None, {every[0].entry.path}) == every[1:]


def test_what_was_opened_since_it_was_listed_is_not_evicted(tmp_path: Path) -> None:
    entry = fill(tmp_path)[0].entry
    os.utime(entry.path)
    assert not evict(entry)
    (now,) = [one.entry for one in cache_entries(tmp_path) if one.kind == "images"]
    assert evict(now)
    assert not evict(now)
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc on this machine")
def test_what_a_process_has_mapped_is_seen(tmp_path: Path) -> None:
    path = fill(tmp_path)[0].entry.path
    assert path.resolve() not in mapped_files()
    mapped = np.load(path, mmap_mode="r")
    assert path.resolve() in mapped_files()
    del mapped
    assert path.resolve() not in mapped_files()


SLOW = """
import sys, time
from pathlib import Path
from tlsearch.features import Activation, FeatureKey, FeatureStore
import numpy as np
def block(start, stop):
    print("at work", flush=True)
    sys.stdin.readline()
    return [np.zeros((stop - start, 4), np.float32)]
key = FeatureKey("w", "slow", "tf", 48, "float16", "i")
store = FeatureStore(Path(sys.argv[1]), "float16")
store.open_together([Activation(key, (4,))], 100, lambda _: block, 100)
"""


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that is in the middle of a pass over the cache at `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    yield process
    process.kill()
    process.wait()


def test_what_is_being_written_stays(tmp_path: Path, at_work: "subprocess.Popen[str]") -> None:
    fill(tmp_path)
    assert not [path for path in remove_leftovers(tmp_path) if path.suffix == ".pass"]
    assert at_work.stdin is not None
    at_work.stdin.write("go\n")
    at_work.stdin.flush()
    assert at_work.wait(timeout=20) == 0
    assert len(cache_entries(tmp_path)) == 4
    assert not [
        entry_problem(one.entry) for one in cache_entries(tmp_path) if entry_problem(one.entry)
    ]


def test_what_a_killed_process_left_is_taken_away(
    tmp_path: Path, at_work: "subprocess.Popen[str]"
) -> None:
    fill(tmp_path)
    at_work.send_signal(signal.SIGKILL)
    at_work.wait()
    features = tmp_path / "features"
    name = "f" * 32
    left = {f".{name}.npy.x1", f".{name}.json.x1", f"{name}.json", f"{name}.lock"}
    for file in left:
        (features / file).touch()
    found = {path.name for path in remove_leftovers(tmp_path)}
    assert left < found
    assert [
        path
        for path in features.iterdir()
        if path.suffix not in {".npy", ".json"}
        and path.name not in {f"{key.name}.lock" for key in KEYS} | {"budget.lock"}
    ] == []
    assert len(cache_entries(tmp_path)) == 3
    assert list(remove_leftovers(tmp_path)) == []


def test_locks_that_are_held_stay(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "features").mkdir()
    name = "f" * 32
    with FileLock(tmp_path / "features" / f"{name}.lock"):
        (tmp_path / "features" / f".{name}.npy.x1").touch()
        (tmp_path / "features" / f"{name}.json").touch()
        began = time.monotonic()
        assert list(remove_leftovers(tmp_path)) == []
        assert time.monotonic() - began < 1


IMAGES = [f"{place:032x}" for place in range(4)]


@pytest.fixture
def images(tmp_path: Path) -> ArrayStore:
    """Return four arrays of images of 1,128 bytes, opened at 0, 1, 2, 3 s, and a user's file."""
    store = ArrayStore(tmp_path / "images", budget_bytes=4 * 1128)
    for age, key in enumerate(IMAGES):
        store.open(key, 10, lambda: [np.ones((10, 10, 10), np.uint8)])
        os.utime(store.path(key), (age, age))
    np.save(store.root / "mine.npy", ROWS)
    return store


@pytest.mark.parametrize(
    ("wanted", "gone"), [(0, 0), (1, 1), (1128, 1), (1129, 2), (4 * 1128, 4), (10**9, 4)]
)
def test_images_make_room_least_recently_used_first(
    images: ArrayStore, wanted: int, gone: int
) -> None:
    assert [entry.key for entry in make_room(images, wanted)] == IMAGES[:gone]
    assert [path.stem for path in sorted(images.root.glob("0*.npy"))] == IMAGES[gone:]
    assert (images.root / "mine.npy").exists()


def test_images_that_are_mapped_used_or_just_opened_stay(images: ArrayStore) -> None:
    mapped = np.load(images.path(IMAGES[0]), mmap_mode="r")
    os.utime(images.path(IMAGES[2]))
    with mark_used(images.path(IMAGES[1])):
        assert [entry.key for entry in make_room(images, 10**9)] == [IMAGES[3]]
        assert not is_used(images.path(IMAGES[0]))
    del mapped
    assert [entry.key for entry in make_room(images, 10**9)] == IMAGES[:2]
    assert not list(images.root.glob("*.user"))


def test_without_a_budget_images_stay(images: ArrayStore) -> None:
    assert make_room(ArrayStore(images.root), 10**12) == []


USER = """
import sys
from pathlib import Path
from tlsearch.store.users import mark_used
with mark_used(Path(sys.argv[1])):
    print("used", flush=True)
    sys.stdin.readline()
"""


def test_an_array_is_used_until_its_process_ends(images: ArrayStore) -> None:
    path = images.path(IMAGES[0])
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"used\n"
        assert paths_in_use([path, images.path(IMAGES[1])]) == {path.resolve()}
        assert list(remove_leftovers(images.root.parent)) == []
        process.kill()
        process.wait()
    (left,) = remove_leftovers(images.root.parent)
    assert left.suffix == ".user"
    assert paths_in_use([path]) == set()


def test_an_array_that_is_still_to_come_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "node" / f"{IMAGES[0]}.npy"
    with mark_used(path):
        assert is_used(path)
    assert not is_used(path)


def test_an_array_of_a_folder_that_may_only_be_read_can_be_used(
    images: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr("tlsearch.store.users.FileLock.acquire", refuse)
    with mark_used(images.path(IMAGES[0])):
        assert images.path(IMAGES[0]).exists()
