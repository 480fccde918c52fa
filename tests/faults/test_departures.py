"""A real search on several Ray nodes of this machine that join and leave.

One study takes all departures in turn, since Ray and TensorFlow are slow to start.
"""

import random

import pytest
from departures import DEPARTURES, Hit, round_of
from losses import Reference
from small_cluster import cluster_study

pytestmark = [pytest.mark.cluster, pytest.mark.training]


def test_nodes_join_die_and_leave_and_the_driver_is_killed_and_nothing_is_lost(tmp_path):
    with cluster_study(tmp_path / "study") as small:
        found = round_of(DEPARTURES, small, random.Random(0), Reference(tmp_path / "reference"))
        assert found == dict.fromkeys(DEPARTURES, Hit(True)), small.printed()
