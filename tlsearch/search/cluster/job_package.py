"""The contents of a Ray job: this Python package, the resolved search space, the driver's command.

A search that refers to files of this machine alone is refused.
"""

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tlsearch.base.errors import ConfigError
from tlsearch.base.machine import PACKAGE
from tlsearch.config.catalog import WEIGHTS
from tlsearch.config.load import dump, shipped_spaces
from tlsearch.config.location import access_variables, is_url, url_problem
from tlsearch.config.schema import SearchConfig

SPACE = "space.yaml"
# With `exec`, a signal to the job reaches the driver, and the driver's exit code is the job's.
DRIVER = "exec python3 -m tlsearch.cli.main"


@dataclass(frozen=True)
class Shipment:
    """A search as it is submitted to a cluster.

    `line` is the shell command of its driver, `location` the path or URL of its study. `config` is
    None for a study that is resumed.
    """

    line: str
    name: str
    location: str
    config: SearchConfig | None

    @property
    def env(self) -> dict[str, str]:
        """The environment variables with which the driver reaches the study's bucket.

        They come from this process. Everyone who may read the cluster's jobs can read them.
        """
        return access_variables(self.location)


def new_search(config: SearchConfig, study: str | None, space: str = SPACE) -> Shipment:
    """Return the shipment of a new search, whose driver reads the search space from file `space`.

    Raises ConfigError if the search refers to files of this machine alone.
    """
    require_shared(config, study)
    _require_location(study, "--study")
    where = [] if study is None else ["--study", study]
    location = study or f"{config.storage}/{config.name}"
    return Shipment(driver_line("run", space, *where), config.name, location, config)


def resumed_search(study: str, settings: Sequence[str]) -> Shipment:
    """Return the shipment that resumes a study, with the `--set` options that extend it.

    Raises ConfigError if the study is not at a URL or an absolute path.
    """
    if not is_shared(study):
        raise ConfigError([f"--resume: {_local(study)}"])
    _require_location(study, "--resume")
    options = [word for one in settings for word in ("--set", one)]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", study.rstrip("/").rpartition("/")[2]) or "study"
    return Shipment(driver_line("resume", study, *options), name, study, None)


def driver_line(*words: str) -> str:
    """Return the shell command that starts a driver with these arguments."""
    return f"{DRIVER} {shlex.join(words)}"


def is_shared(location: str) -> bool:
    """Whether a location can be the same on every node: a URL or an absolute path."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*:/", location)) or location.startswith("/")


def require_shared(config: SearchConfig, study: str | None) -> None:
    """Raise one ConfigError that lists every location that nodes cannot share.

    It checks the study, `data.path` and weight files: each must be a URL or an absolute path.
    """
    locations = {"storage": str(config.storage)} if study is None else {"--study": study}
    if config.data.path is not None:
        locations["data.path"] = str(config.data.path)
    for name in config.space.weights.values:
        if name not in WEIGHTS:
            locations[f"space.weights: {name}"] = name
    problems = [
        f"{key}: {_local(location)}{_remedy(key)}"
        for key, location in locations.items()
        if not is_shared(location)
    ]
    if problems:
        raise ConfigError(problems)


def _require_location(study: str | None, option: str) -> None:
    """Refuse a URL that no study can have or that holds credentials: Ray shows the job's command
    to everyone.
    """
    wrong = url_problem(study) if study is not None and is_url(study) else None
    if wrong is not None:
        raise ConfigError([f"{option}: {wrong}"])


def _local(location: str) -> str:
    return (
        f"found {location}, expected a URL, or an absolute path that every node sees: the folder "
        "that a job runs in is deleted when it ends"
    )


def _remedy(key: str) -> str:
    return " (try --set storage=s3://BUCKET/studies)" if key == "storage" else ""


def pack(folder: Path, config: SearchConfig | None) -> None:
    """Copy this package, as installed here, and the resolved search space into a folder."""
    junk = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(PACKAGE, folder / "tlsearch", ignore=junk)
    _pack_spaces(folder / "tlsearch" / "search_spaces")
    _pack_version(folder)
    if config is not None:
        (folder / SPACE).write_text(dump(config), encoding="utf-8")


def _pack_spaces(folder: Path) -> None:
    """Copy the shipped search spaces, which an editable installation keeps beside the package."""
    folder.mkdir(exist_ok=True)
    for file in shipped_spaces().values():
        if not (folder / file.name).exists():
            shutil.copy(file, folder)


def _pack_version(folder: Path) -> None:
    """Write the package metadata, so that a node sees this version and not one installed there."""
    version = metadata.version("tlsearch")
    about = folder / f"tlsearch-{version}.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: tlsearch\nVersion: {version}\n", encoding="utf-8"
    )
