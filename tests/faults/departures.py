"""Nodes that come and go while a search runs on them; each says whether it hit.

What is wrong at once is a complaint of the study; what was lost is counted at its end.
"""

import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from losses import Reference, losses
from small_cluster import ClusterStudy

from tlsearch.search.trial.actor import LEAVES

JOINS_S = 90.0  # patience on a busy machine; `joined_s` holds what it took
MOVES_S = 30.0
NOTICE_S = 60.0
TRIES = 3

Departure = Callable[[ClusterStudy, random.Random], bool]


def node_joins(small: ClusterStudy, chance: random.Random) -> bool:
    """A node joins a search; it trains a trial soon."""
    _running(small, chance)
    joined = small.nodes.add()
    took_s = small.wait_until(lambda: small.trials_on(joined), JOINS_S)
    if took_s is None and small.alive():
        small.complaints.append(f"a node that joined had no trial after {JOINS_S:g} s")
    if took_s is not None:
        small.joined_s.append(took_s)
    return took_s is not None


def node_killed(small: ClusterStudy, chance: random.Random) -> bool:
    """A node dies in the middle of an epoch of a trial that has a saved state."""
    _running(small, chance)
    time.sleep(chance.random())
    victim = _victim(small, chance, small.saved)
    if victim is None:
        return False
    node, trial = victim
    small.noticed_s.append(small.nodes.kill(node))
    small.nodes.add()
    _expect_taken_up(small, trial)
    return True


def node_drained(small: ClusterStudy, chance: random.Random) -> bool:
    """A node is told that it will end: its trials leave it, no other comes, and then it ends."""
    _running(small, chance)
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
    _expect_taken_up(small, trial)
    small.nodes.kill(node)
    return True


def driver_killed_on_cluster(small: ClusterStudy, chance: random.Random) -> bool:
    """SIGKILL of the driver; the same cluster serves the next one."""
    _running(small, chance)
    time.sleep(chance.random() * 2)
    hit = small.alive()
    small.driver.send_signal(signal.SIGKILL)
    small.driver.wait()
    return hit


def _running(small: ClusterStudy, chance: random.Random) -> None:
    """Until the search reports epochs, a few of them."""
    if not small.alive():
        small.start()
    small.wait_for_reports(chance.randrange(2, 8))


def _victim(
    small: ClusterStudy, chance: random.Random, suits: Callable[[int], bool]
) -> tuple[str, int] | None:
    """A node and a trial on it that suits, as soon as there is one; None where the search ends."""

    def suiting() -> list[tuple[str, int]]:
        pairs = [(n, t) for n in small.nodes.raylets for t in small.trials_on(n).values()]
        return [(node, trial) for node, trial in pairs if suits(trial)]

    found: list[tuple[str, int]] = []

    def is_there() -> bool:
        found.extend(suiting())
        return bool(found)

    return None if small.wait_until(is_there, JOINS_S) is None else chance.choice(found)


def _expect_taken_up(small: ClusterStudy, trial: int) -> None:
    """A trial whose node is gone is trained on another one soon, unless it had ended."""

    def taken_up() -> bool:
        return trial in small.ended() or any(
            trial in small.trials_on(node).values() for node in small.nodes.raylets
        )

    if small.wait_until(taken_up, MOVES_S) is None and small.alive():
        small.complaints.append(f"trial {trial} was not taken up in {MOVES_S:g} s")


DEPARTURES: dict[str, Departure] = {
    "node joins": node_joins,
    "node killed": node_killed,
    "node drained (spot notice)": node_drained,
    "driver on the head killed": driver_killed_on_cluster,
}


@dataclass
class Hit:
    """Whether a departure hit a search that ran, and what was lost."""

    hit: bool
    lost: list[str] = field(default_factory=list)


def round_of(
    names: Iterable[str], small: ClusterStudy, chance: random.Random, reference: Reference
) -> dict[str, Hit]:
    """Each departure in turn, to one study that then ends; what is lost at its end counts against
    all of them. One that missed, as where the search came to its end before, is tried again.
    """
    found = {}
    for name in names:
        hit = any(DEPARTURES[name](small, chance) for _ in range(TRIES))
        found[name] = Hit(hit, small.complaints)
        small.complaints = []
    before = small.ended()
    small.finish()
    lost = small.complaints or losses(small, before, reference)
    for one in found.values():
        one.lost += lost
    return found
