"""The workplace of a study whose trials may train on other nodes, with transfers between nodes."""

from tlsearch.search.cluster.array_transfer import Peers, delivery
from tlsearch.search.cluster.trial_transfer import handover, networks_to_send
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.workplace import Workplace, workplace


def connected_workplace(search: Search) -> Workplace:
    """Return the workplace of a search on the nodes of its Ray cluster.

    On a joined cluster, images and networks are sent to the nodes, and features between them. If
    the study is at a URL, the files of trials are handed over to the driver.
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
        networks=networks_to_send(config),
        device=search.device,
    )
