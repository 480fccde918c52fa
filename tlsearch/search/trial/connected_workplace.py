"""The workplace of a study whose trials may train on other nodes, with the ways between them."""

from tlsearch.search.cluster.array_transfer import Peers, delivery
from tlsearch.search.cluster.trial_transfer import handover
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.workplace import Workplace, workplace


def connected_workplace(search: Search) -> Workplace:
    """The workplace on the nodes that Ray has here: images go to them, features between them, and
    the files of trials come back where the study is in a bucket.
    """
    config = search.config
    fetch = delivery(search.data, config.cache_path, int(config.cache_gb * 1e9))
    return workplace(
        config,
        search.data,
        search.home.root,
        fetch=fetch,
        handover=handover(search.home, config.cache_path),
        peers=None if fetch is None else Peers(config.cache_path),
        device=search.device,
    )
