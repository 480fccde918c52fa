"""The workplace of a study whose trials may train on other nodes, with the ways between them."""

from tlsearch.config.schema import SearchConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.feature_transfer import Peers
from tlsearch.search.cluster.image_transfer import delivery
from tlsearch.search.cluster.trial_transfer import handover
from tlsearch.search.trial.workplace import Workplace, workplace


def connected_workplace(config: SearchConfig, data: ImageData, home: StudyDirectory) -> Workplace:
    """The workplace on whatever nodes Ray has here: images go to them, features between them, and
    the files of trials come back where the study is in a bucket. They compute as the study records.
    """
    fetch = delivery(data, int(config.cache_gb * 1e9))
    return workplace(
        config,
        data,
        home.root,
        fetch=fetch,
        handover=handover(home),
        peers=None if fetch is None else Peers(config.cache_path),
        device=home.device(),
    )
