"""Following the log of a job over a failing connection."""

from types import SimpleNamespace

import pytest

from tlsearch.base.errors import ClusterError
from tlsearch.search.cluster import jobs
from tlsearch.search.cluster.jobs import Cluster

pytestmark = pytest.mark.cluster  # imports Ray


class Server:
    """A job server whose log grows by one line per look; the looks in `fails` find no network."""

    def __init__(self, lines, fails):
        self.lines, self.fails, self.looks = lines, fails, 0

    def get_job_info(self, name):
        self.looks += 1
        if self.looks in self.fails:
            raise ConnectionError("no route to host")
        over = self.looks >= self.lines + len(self.fails)
        return SimpleNamespace(
            submission_id=name,
            status="SUCCEEDED" if over else "RUNNING",
            metadata=None,
            start_time=1,
            end_time=None,
            driver_exit_code=None,
            message=None,
        )

    def get_job_logs(self, name):
        return "".join(f"line {n}\n" for n in range(min(self.looks, self.lines)))


@pytest.fixture
def followed(monkeypatch):
    monkeypatch.setattr(jobs, "POLL_S", 0.0)

    def follow(lines, fails, lost_s=60.0):
        cluster = Cluster.__new__(Cluster)
        cluster.url, cluster._client = "http://x", Server(lines, fails)
        return "".join(cluster.follow("job", lost_s))

    return follow


@pytest.mark.parametrize("fails", [(), (2,), (3, 4, 5), (2, 4, 6, 8)])
def test_the_log_is_whole_and_no_line_comes_twice(followed, fails):
    assert followed(9, fails) == "".join(f"line {n}\n" for n in range(9))


def test_a_cluster_that_stays_away_is_told(followed):
    with pytest.raises(ClusterError, match="no route to host"):
        followed(9, range(3, 99), lost_s=0.0)


def test_a_cluster_that_never_answered_is_told_at_once(followed):
    with pytest.raises(ClusterError, match="no route to host"):
        followed(9, (1,))
