"""Faults, each injected into a search that runs; they say whether they hit.

What comes after, going on until the study is at its end, is the caller's.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from small_study import SmallStudy

from tlsearch.search.propose.outcome import RETRIES

Fault = Callable[[SmallStudy, random.Random], bool]

JUMPING = Path(__file__).parent / "jumping_clock"
LINES = 75  # about what a journal of five trials has


def driver_killed(small: SmallStudy, chance: random.Random) -> bool:
    """SIGKILL of the driver somewhere between its start and the last export."""
    driver = small.start()
    small.wait_for_lines(chance.randrange(LINES))
    time.sleep(chance.random())
    hit = small.alive()
    driver.kill()
    driver.wait()
    return hit


def worker_killed(small: SmallStudy, chance: random.Random) -> bool:
    """SIGKILL of a worker at a random moment of its search, which goes on."""
    small.start()
    hit = kill_a_worker(small, chance)
    small.expect(0)
    return hit


def kill_a_worker(small: SmallStudy, chance: random.Random, within: int = LINES // 2) -> bool:
    """SIGKILL of one of the workers, so many lines from now at most; False where the search ended
    before.
    """
    small.wait_for_lines(chance.randrange(within))
    while small.alive():
        time.sleep(chance.random() * 0.2)
        workers = [w for w, trial in small.workers().items() if trial not in small.sacrificed]
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            return True
    return False


def memory_killer(small: SmallStudy, chance: random.Random) -> bool:
    """One configuration whose every worker is killed, as the kernel does where memory ends."""
    small.start()
    killed = kill_every_worker_of(small, 0)
    small.expect(0)
    if killed > 1 + RETRIES:
        small.complaints.append(f"{killed} workers began one trial")
    return killed > RETRIES


def kill_every_worker_of(small: SmallStudy, victim: int) -> int:
    """SIGKILL of each worker of a trial, until the study gives it up; how many."""
    killed: set[int] = set()
    small.sacrificed.add(victim)
    while small.alive() and victim not in small.ended():
        for worker in small.workers_of(victim) - killed:
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        time.sleep(0.02)
    return len(killed)


def tail_cut(small: SmallStudy, chance: random.Random) -> bool:
    """The last bytes of the journal gone after the driver that wrote them was killed."""
    journal = small.study / "journal.log"
    before = journal.stat().st_size if journal.exists() else 0
    return driver_killed(small, chance) and cut_tail(small, chance, before)


def cut_tail(small: SmallStudy, chance: random.Random, before: int = 0) -> bool:
    """Cut up to 300 bytes off the journal; False where it grew by no more since it had `before`."""
    journal = small.study / "journal.log"
    cut = 1 + chance.randrange(300)
    if not journal.exists() or journal.stat().st_size <= before + cut:
        return False
    os.truncate(journal, journal.stat().st_size - cut)
    return True


def feature_truncated(small: SmallStudy, chance: random.Random) -> bool:
    """All feature arrays shortened on disk after the driver was killed."""
    driver = small.start()
    features = small.seen / "cache" / "features"
    small.wait_for_lines(1)
    while small.alive() and not list(features.glob("*.npy")):
        time.sleep(0.01)
    time.sleep(chance.random())
    hit = small.alive()
    driver.kill()
    driver.wait()
    for array in features.glob("*.npy"):
        os.truncate(array, chance.randrange(array.stat().st_size))
    return hit


def disk_full(small: SmallStudy, chance: random.Random) -> bool:
    """A disk without a byte left, from a random moment on until the driver gave up."""
    small.start()
    hit = small.wait_for_lines(chance.randrange(LINES // 4, LINES // 2))
    filler = small.seen / "filler"
    while small.alive():
        fill(filler)  # what the search frees is taken too
        time.sleep(0.05)
    filler.unlink()
    small.expect(3, "No space left on device")
    if small.ended() and "\nrank " not in f"\n{small.said()}":
        small.complaints.append(f"no ranked table: {small.said()}")
    return hit


def fill(path: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass


def pictures_damaged(small: SmallStudy, chance: random.Random) -> bool:
    """Pictures truncated and removed while the search runs; they come back before it goes on."""
    small.start()
    hit = small.wait_for_lines(chance.randrange(1, LINES // 2))
    end_without_pictures(small, chance)
    return hit


def end_without_pictures(small: SmallStudy, chance: random.Random) -> None:
    """Truncate and remove pictures until the search ends, which cannot verify its model."""
    chosen = chance.sample(sorted(small.pictures.glob("*/*.png")), 100)
    kept = {path: path.read_bytes() for path in chosen}
    for path in chosen[:50]:
        path.write_bytes(kept[path][: len(kept[path]) // 2])
    for path in chosen[50:]:
        path.unlink()
    try:
        small.expect(3, "cannot be read")
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    if small.owed() or not (small.study / "report" / "index.html").is_file():
        small.complaints.append("trials or the report did not come to their end")


def clock_jumps(small: SmallStudy, chance: random.Random) -> bool:
    """The driver's wall clock jumps by hours, forwards and backwards, all the time."""
    small.start(**jumping_clock(chance.randrange(10**6)))
    small.expect(0, "the clock jumps")
    return True


def jumping_clock(seed: int) -> dict[str, str]:
    """The environment of a driver whose wall clock jumps."""
    path = os.pathsep.join([str(JUMPING), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "JUMPING_CLOCK": str(seed)}


FAULTS: dict[str, Fault] = {
    "driver killed": driver_killed,
    "worker killed": worker_killed,
    "worker killed each time (memory)": memory_killer,
    "journal tail cut": tail_cut,
    "feature arrays truncated": feature_truncated,
    "disk full": disk_full,
    "pictures damaged": pictures_damaged,
    "clock jumps": clock_jumps,
}
