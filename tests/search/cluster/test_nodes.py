"""The watch over a cluster's nodes, with simulated nodes and clock, and the concurrency limit."""

import errno
import os
import pickle

import pytest
import yaml
from ray.tune.search import ConcurrencyLimiter, Searcher

from tlsearch.config.schema import Resources
from tlsearch.search.cluster.nodes import BLAMED_S, LOOK_EVERY_S, Node, Watch
from tlsearch.search.ending import Ending
from tlsearch.search.runner import ElasticLimiter


class Cluster:
    """Nodes that a test adds and removes, at a time that it sets."""

    def __init__(self, *names):
        self.time_s, self.looks, self.nodes = 100.0, 0, {}
        for name in names:
            self.join(name)

    def join(self, name, leaving=False, **amounts):
        self.nodes[name] = Node(name, name, {"CPU": 1, **amounts}, leaving)

    def look(self):
        self.looks += 1
        return list(self.nodes.values())

    def watch(self, launched, **asked):
        return Watch(Resources(**asked), self.look, lambda: self.time_s, launched)

    def later(self, seconds=LOOK_EVERY_S):
        self.time_s += seconds


@pytest.fixture
def nothing(tmp_path):
    """Return a path for the launcher's configuration, where no file exists."""
    return tmp_path / "none.yaml"


def test_room_follows_nodes_that_join_and_leave(nothing):
    cluster = Cluster("a")
    watch = cluster.watch(nothing)
    assert watch.slots() == 1
    cluster.join("b", CPU=3)
    cluster.later()
    assert watch.slots() == 4
    cluster.join("b", leaving=True, CPU=3)
    cluster.later()
    assert watch.slots() == 1
    cluster.nodes.clear()
    cluster.later()
    assert watch.slots() == 1  # one trial waits, or nothing would be requested


def test_nodes_are_looked_at_once_a_second(nothing):
    cluster = Cluster("a")
    watch = cluster.watch(nothing)
    for _ in range(50):
        watch.slots()
        cluster.later(LOOK_EVERY_S / 10)
    assert cluster.looks <= 6


def test_what_waits_makes_a_launched_cluster_start_its_first_worker(nothing):
    kinds = {"head": {"resources": {"CPU": 0}}, "worker": {"resources": {"CPU": 4}}}
    launched = {"max_workers": 3, "head_node_type": "head", "available_node_types": kinds}
    nothing.write_text(yaml.safe_dump(launched))
    cluster = Cluster()
    watch = cluster.watch(nothing)
    assert watch.slots() == 1
    cluster.join("w", CPU=4)
    cluster.later()
    assert watch.slots() == 8


@pytest.mark.parametrize("seconds", [-BLAMED_S / 2, 0, BLAMED_S / 2])
def test_a_worker_lost_about_when_a_node_was_is_excused(nothing, seconds):
    cluster = Cluster("a", "b")
    watch = cluster.watch(nothing)
    watch.slots()
    del cluster.nodes["b"]
    cluster.later()
    assert watch.excused(cluster.time_s + seconds)


def test_a_worker_lost_while_every_node_lives_is_not_excused(nothing):
    cluster = Cluster("a", "b")
    watch = cluster.watch(nothing)
    watch.slots()
    assert not watch.excused(cluster.time_s)
    del cluster.nodes["b"]
    cluster.later()
    watch.slots()
    cluster.later(2 * BLAMED_S)
    assert not watch.excused(cluster.time_s)


def test_a_ray_that_does_not_answer_leaves_the_nodes_as_they_were(nothing, caplog):
    cluster = Cluster("a", "b")
    watch = cluster.watch(nothing)
    watch.slots()
    cluster.nodes = None  # no list of nodes
    cluster.later()
    assert watch.slots() == 2
    assert not watch.excused(cluster.time_s)
    assert "nodes could not be listed" in caplog.text


def test_a_node_that_joins_excuses_nothing(nothing):
    cluster = Cluster("a")
    watch = cluster.watch(nothing)
    watch.slots()
    cluster.join("b")
    assert not watch.excused(cluster.time_s)


def test_a_worker_that_left_a_node_with_its_notice_is_excused(nothing):
    cluster = Cluster("a")
    cluster.join("b", leaving=True)
    assert cluster.watch(nothing).excused(cluster.time_s)


class Counting(Searcher):
    """A searcher that proposes without end."""

    def suggest(self, trial_id):
        return {"id": trial_id}

    def on_trial_complete(self, trial_id, result=None, error=False):
        pass


def limited(room):
    """Return a limiter that admits `room[0]` trials."""
    return ElasticLimiter(Counting(), lambda: room[0], Ending())


def proposed(limiter):
    """Return how many more trials begin now."""
    count = 0
    while limiter.suggest(f"{id(limiter)}-{count}-{len(limiter.live_trials)}") is not None:
        count += 1
    return count


def test_a_node_that_joins_late_is_filled_which_stock_ray_leaves_empty():
    room = [2]
    stock, ours = ConcurrencyLimiter(Counting(), 2), limited(room)
    assert proposed(stock) == proposed(ours) == 2
    room[0] = 5
    assert proposed(stock) == 0
    assert proposed(ours) == 3


def test_where_the_room_shrinks_no_trial_begins_until_enough_have_ended():
    room = [3]
    ours = limited(room)
    assert proposed(ours) == 3
    room[0] = 1
    first, second, _ = list(ours.live_trials)
    for trial in (first, second):
        ours.on_trial_complete(trial)
        assert proposed(ours) == 0
    room[0] = 0
    ours.on_trial_complete(next(iter(ours.live_trials)))
    assert proposed(ours) == 1


class Unwritable(Counting):
    """A searcher that cannot write to its journal."""

    def suggest(self, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "journal.log")

    take = on_trial_complete = suggest


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.suggest("b"),
        lambda one: one.take("a", {}),
        lambda one: one.on_trial_complete("a", {}),
    ],
)
def test_a_journal_that_cannot_be_written_ends_the_search_with_its_name(call):
    ending = Ending()
    ours = ElasticLimiter(Unwritable(), lambda: 2, ending)
    ours.live_trials.add("a")
    assert call(ours) in (None, True)  # an error of the driver's disk does not stop a trial
    assert ending.over
    assert str(ending.error).startswith("journal.log: No space left on device")


def test_neither_limit_nor_watch_takes_the_searcher_along_when_ray_saves(nothing):
    watch = Cluster("a").watch(nothing)
    assert len(pickle.dumps(ElasticLimiter(Counting(), watch.slots, Ending()))) < 200
    assert len(pickle.dumps(watch)) < 200
