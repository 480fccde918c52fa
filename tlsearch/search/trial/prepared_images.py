"""The images of a search: prepared before its first trial, and refused if a search on them would be
meaningless; and the check that weight files exist.
"""

from pathlib import Path

from tlsearch.base.cores import granted_cores
from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import CIFAR10_CLASSES, WEIGHTS
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.row import OWN
from tlsearch.config.schema import Resources, SearchConfig
from tlsearch.config.spelling import file_name
from tlsearch.data.sources import ImageData, prepare
from tlsearch.results.live.events import DataRead, DataReading, Listen

NAMED = 3  # how many unreadable images study.yaml lists; artifacts/data.json lists all


def read_images(config: SearchConfig, listen: Listen) -> ImageData:
    """Prepare the images, and refuse backbones that were pretrained on them.

    Raises DataError for a problem with the images, ConfigError for a refused backbone.
    """
    listen(DataReading(config.data.kind))
    data = prepare_images(config)
    listen(DataRead(len(data.classes), _sizes(data)))
    _refuse_leakage(config, data)
    return data


def prepare_images(config: SearchConfig) -> ImageData:
    """Return the images as trials use them: decoded, split, and audited for duplicates."""
    threads, budget_bytes = preparing_threads(config.resources), int(config.cache_gb * 1e9)
    how = (config.data, config.cache_path, threads, budget_bytes)
    if config.data.kind != "tfds":
        return prepare(*how)
    from tlsearch.search.cluster.ray_session import connect, in_worker

    with connect(config.resources):  # TFDS imports TensorFlow, which the driver never does
        return in_worker(prepare, *how)


def preparing_threads(resources: Resources) -> int:
    """Return the number of threads that prepare images: the cores that concurrent trials may use,
    at most those of this machine.
    """
    if resources.max_concurrent == "auto":
        return granted_cores()
    return min(granted_cores(), resources.max_concurrent * resources.cpus_per_trial)


def require_weight_files(config: SearchConfig) -> None:
    """Raise ConfigError if the space names weights that do not exist."""
    files = [name for name in config.space.weights.values if name not in WEIGHTS]
    problems = [f"space.weights: {n}: no such weight file" for n in files if not Path(n).is_file()]
    if "shipped" in config.space.weights.values:
        bare = [n for n in config.space.backbone.values if row_of(n).shipped is None]
        problems += [
            f"space.weights: no weights of {n} ship with tlsearch; use imagenet or default"
            for n in bare
        ]
    if "imagenet" in config.space.weights.values:
        own = [n for n in config.space.backbone.values if row_of(n).family == OWN]
        problems += [
            f"space.weights: {file_name(n)} is a network of your own, use default or none"
            for n in own
        ]
    if problems:
        raise ConfigError(problems)


def _refuse_leakage(config: SearchConfig, data: ImageData) -> None:
    """Raise ConfigError for a backbone pretrained on CIFAR-10 if the images are CIFAR-10.

    The backbone has seen the images, so its scores would mean nothing.
    """
    if frozenset(data.classes) != CIFAR10_CLASSES:
        return
    seen = [n for n in config.space.backbone.values if row_of(n).trained_on == "cifar10 train"]
    if seen:
        were = f"{', '.join(seen)} {'was' if len(seen) == 1 else 'were'}"
        raise ConfigError(
            [
                f"space.backbone: {were} pretrained on CIFAR-10, and this data is CIFAR-10; choose "
                "another backbone"
            ]
        )


def describe(data: ImageData) -> dict[str, object]:
    """Return the description of the data for study.yaml."""
    lost = {"pictures": len(data.unreadable), "first": list(data.unreadable[:NAMED])}
    return {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "images": _sizes(data),
        **({"unreadable": lost} if data.unreadable else {}),
    }


def _sizes(data: ImageData) -> dict[str, int]:
    return {split: len(rows) for split, rows in data.splits.items()}
