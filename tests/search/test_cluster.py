import pytest

from tlsearch.config.schema import Resources
from tlsearch.errors import ClusterError
from tlsearch.search.cluster import slots


@pytest.mark.parametrize(
    ("asked", "available", "expected"),
    [
        ({}, {"CPU": 2}, 2),
        ({"cpus_per_trial": 2}, {"CPU": 5}, 2),
        ({"max_concurrent": 1}, {"CPU": 8}, 1),
        ({"gpus_per_trial": 0.25}, {"CPU": 64, "GPU": 2}, 8),
        ({"gpus_per_trial": 0.1}, {"CPU": 64, "GPU": 1}, 10),
        ({"gpus_per_trial": 1}, {"CPU": 3, "GPU": 4}, 3),
    ],
)
def test_as_many_trials_run_as_fit(asked, available, expected):
    assert slots(Resources(**asked), available) == expected


def test_a_trial_that_never_fits_is_refused_with_both_numbers():
    with pytest.raises(ClusterError, match="asks for 1 CPUs and 1 GPUs, the cluster has 2 and 0"):
        slots(Resources(gpus_per_trial=1), {"CPU": 2})
