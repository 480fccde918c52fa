"""Faults injected into a running search; each function returns whether it hit.

The caller resumes the study to its end.
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
LINES = 75  # about the length of a journal of five trials


def driver_killed(small: SmallStudy, chance: random.Random) -> bool:
    """Send SIGKILL to the driver at a random point between its start and the last export."""
    driver = small.start()
    small.wait_for_lines(chance.randrange(LINES))
    time.sleep(chance.random())
    hit = small.alive()
    driver.kill()
    driver.wait()
    return hit


def worker_killed(small: SmallStudy, chance: random.Random) -> bool:
    """Send SIGKILL to a worker at a random moment of its search, which continues."""
    small.start()
    hit = kill_a_worker(small, chance)
    small.expect(0)
    return hit


def kill_a_worker(small: SmallStudy, chance: random.Random, within: int = LINES // 2) -> bool:
    """Send SIGKILL to a worker after fewer than `within` lines; False if the search ended first."""
    small.wait_for_lines(chance.randrange(within))
    while small.alive():
        time.sleep(chance.random() * 0.2)
        workers = [w for w, trial in small.workers().items() if trial not in small.sacrificed]
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            return True
    return False


def memory_killer(small: SmallStudy, chance: random.Random) -> bool:
    """Kill every worker of one configuration, as the kernel does when memory runs out."""
    small.start()
    killed = kill_every_worker_of(small, 0)
    small.expect(0)
    if killed > 1 + RETRIES:
        small.complaints.append(f"{killed} workers began one trial")
    return killed > RETRIES


def kill_every_worker_of(small: SmallStudy, victim: int) -> int:
    """Kill each worker of a trial until the study gives it up; return how many were killed."""
    killed: set[int] = set()
    small.sacrificed.add(victim)
    while small.alive() and victim not in small.ended():
        for worker in small.workers_of(victim) - killed:
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        time.sleep(0.02)
    return len(killed)


def tail_cut(small: SmallStudy, chance: random.Random) -> bool:
    """Kill the driver, and cut the last bytes off the journal it wrote."""
    journal = small.study / "journal.log"
    before = journal.stat().st_size if journal.exists() else 0
    return driver_killed(small, chance) and cut_tail(small, chance, before)


def cut_tail(small: SmallStudy, chance: random.Random, before: int = 0) -> bool:
    """Cut up to 300 bytes off the journal; False unless it is longer than `before` by more."""
    journal = small.study / "journal.log"
    cut = 1 + chance.randrange(300)
    if not journal.exists() or journal.stat().st_size <= before + cut:
        return False
    os.truncate(journal, journal.stat().st_size - cut)
    return True


def feature_truncated(small: SmallStudy, chance: random.Random) -> bool:
    """Kill the driver, and truncate all feature arrays on disk."""
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
    """Fill the disk completely from a random moment until the driver gives up."""
    small.start()
    hit = small.wait_for_lines(chance.randrange(LINES // 4, LINES // 2))
    filler = small.seen / "filler"
    while small.alive():
        fill(filler)  # takes what the search frees, too
        time.sleep(0.05)
    filler.unlink()
    small.expect(3, "No space left on device")
    if small.ended() and "\nrank " not in f"\n{small.printed()}":
        small.complaints.append(f"no ranked table: {small.printed()}")
    return hit


def fill(path: Path) -> None:
    """Write to a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass


def pictures_damaged(small: SmallStudy, chance: random.Random) -> bool:
    """Truncate and remove pictures while the search runs; restore them before it is resumed."""
    small.start()
    hit = small.wait_for_lines(chance.randrange(1, LINES // 2))
    end_without_pictures(small, chance)
    return hit


def end_without_pictures(small: SmallStudy, chance: random.Random) -> None:
    """Truncate and remove pictures until the search ends, unable to verify its model."""
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
    """Let the driver's wall clock jump by hours, forwards and backwards, all the time."""
    small.start(**jumping_clock(chance.randrange(10**6)))
    small.expect(0, "the clock jumps")
    return True


def jumping_clock(seed: int) -> dict[str, str]:
    """Return the environment of a driver whose wall clock jumps."""
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
