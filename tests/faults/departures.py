"""Nodes that join and leave while a search runs on them; each function returns whether it hit.

Immediate errors are complaints of the study; losses are counted at its end.
"""

import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from losses import Reference, losses
from small_cluster import ClusterStudy

from tlsearch.search.trial.actor import LEAVES

JOINS_S = 90.0  # generous, for busy machines; `joined_s` holds the measured times
MOVES_S = 30.0
NOTICE_S = 60.0
TRIES = 3

Departure = Callable[[ClusterStudy, random.Random], bool]


def node_joins(small: ClusterStudy, chance: random.Random) -> bool:
    """Add a node to a search; it must soon train a trial."""
    _wait_for_epochs(small, chance)
    joined = small.nodes.add()
    took_s = small.wait_until(lambda: small.trials_on(joined), JOINS_S)
    if took_s is None and small.alive():
        small.complaints.append(f"a node that joined had no trial after {JOINS_S:g} s")
    if took_s is not None:
        small.joined_s.append(took_s)
    return took_s is not None


def node_killed(small: ClusterStudy, chance: random.Random) -> bool:
    """Kill a node in the middle of an epoch of a trial that has a saved state."""
    _wait_for_epochs(small, chance)
    time.sleep(chance.random())
    victim = _victim(small, chance, small.saved)
    if victim is None:
        return False
    node, trial = victim
    small.noticed_s.append(small.nodes.kill(node))
    small.nodes.add()
    _expect_resumed(small, trial)
    return True


def node_drained(small: ClusterStudy, chance: random.Random) -> bool:
    """Drain a node: its trials must leave it, no others may start on it, and then it is killed."""
    _wait_for_epochs(small, chance)
    victim = _victim(small, chance, lambda trial: True)
    if victim is None:
        return False
    node, trial = victim
    small.nodes.drain(node, NOTICE_S)
    left_s = small.wait_until(lambda: not small.trials_on(node), MOVES_S)
    small.nodes.add()
    if left_s is None:
        small.complaints.append(f"trials were on a node {MOVES_S:g} s after its notice")
    elif LEAVES not in small.log_of(trial) and trial not in small.ended():
        small.complaints.append(f"trial {trial} left its node without being saved")
    small.left_s.append(left_s or MOVES_S)
    _expect_resumed(small, trial)
    small.nodes.kill(node)
    return True


def driver_killed_on_cluster(small: ClusterStudy, chance: random.Random) -> bool:
    """Send SIGKILL to the driver; the same cluster serves the next one."""
    _wait_for_epochs(small, chance)
    time.sleep(chance.random() * 2)
    hit = small.alive()
    small.driver.send_signal(signal.SIGKILL)
    small.driver.wait()
    return hit


def _wait_for_epochs(small: ClusterStudy, chance: random.Random) -> None:
    """Start the search if needed, and wait until it has reported a few epochs."""
    if not small.alive():
        small.start()
    small.wait_for_reports(chance.randrange(2, 8))


def _victim(
    small: ClusterStudy, chance: random.Random, suits: Callable[[int], bool]
) -> tuple[str, int] | None:
    """Wait for a node with a suitable trial; return both, or None if none appears in time."""

    def suiting() -> list[tuple[str, int]]:
        pairs = [(n, t) for n in small.nodes.raylets for t in small.trials_on(n).values()]
        return [(node, trial) for node, trial in pairs if suits(trial)]

    candidates: list[tuple[str, int]] = []

    def is_there() -> bool:
        candidates.extend(suiting())
        return bool(candidates)

    return None if small.wait_until(is_there, JOINS_S) is None else chance.choice(candidates)


def _expect_resumed(small: ClusterStudy, trial: int) -> None:
    """Complain unless a trial whose node is gone soon trains on another one or has ended."""

    def resumed() -> bool:
        return trial in small.ended() or any(
            trial in small.trials_on(node).values() for node in small.nodes.raylets
        )

    if small.wait_until(resumed, MOVES_S) is None and small.alive():
        small.complaints.append(f"trial {trial} was not taken up in {MOVES_S:g} s")


DEPARTURES: dict[str, Departure] = {
    "node joins": node_joins,
    "node killed": node_killed,
    "node drained (spot notice)": node_drained,
    "driver on the head killed": driver_killed_on_cluster,
}


@dataclass
class Hit:
    """Whether a departure hit a running search, and what was lost."""

    hit: bool
    lost: list[str] = field(default_factory=list)


def round_of(
    names: Iterable[str], small: ClusterStudy, chance: random.Random, reference: Reference
) -> dict[str, Hit]:
    """Apply each departure to one study and finish it; its final losses count against all of them.

    A departure that missed, e.g. because the search had already ended, is tried again.
    """
    results = {}
    for name in names:
        hit = any(DEPARTURES[name](small, chance) for _ in range(TRIES))
        results[name] = Hit(hit, small.complaints)
        small.complaints = []
    before = small.ended()
    small.finish()
    lost = small.complaints or losses(small, before, reference)
    for result in results.values():
        result.lost += lost
    return results
