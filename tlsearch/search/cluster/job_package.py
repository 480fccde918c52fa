"""What of a search travels to a cluster: this package, the resolved space; and what cannot."""

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
from tlsearch.config.location import is_url, problem, variables
from tlsearch.config.schema import SearchConfig

SPACE = "space.yaml"
# `exec`, so that a signal to the job reaches the driver, and its exit code is the job's.
DRIVER = "exec python3 -m tlsearch.cli.main"


@dataclass(frozen=True)
class Shipment:
    """A search as it is handed to a cluster; `line` is its driver's shell command, `place` where
    its study goes, `config` None where a study goes on.
    """

    line: str
    name: str
    place: str
    config: SearchConfig | None

    @property
    def env(self) -> dict[str, str]:
        """The variables of this process by which the driver reaches the study's bucket. Who may
        read the cluster's jobs can read them.
        """
        return variables(self.place)


def new_search(config: SearchConfig, study: str | None, space: str = SPACE) -> Shipment:
    """A search that begins, of the space in a file `space`; ConfigError for what of it lies on this
    machine alone.
    """
    require_shared(config, study)
    _require_place(study, "--study")
    where = [] if study is None else ["--study", study]
    place = study or f"{config.storage}/{config.name}"
    return Shipment(driver_line("run", space, *where), config.name, place, config)


def resumed_search(study: str, settings: Sequence[str]) -> Shipment:
    """A study that goes on, with `--set`s that extend it."""
    if not is_shared(study):
        raise ConfigError([f"--resume: {_local(study)}"])
    _require_place(study, "--resume")
    wishes = [word for one in settings for word in ("--set", one)]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", study.rstrip("/").rpartition("/")[2]) or "study"
    return Shipment(driver_line("resume", study, *wishes), name, study, None)


def driver_line(*words: str) -> str:
    """The shell command of a driver."""
    return f"{DRIVER} {shlex.join(words)}"


def is_shared(place: str) -> bool:
    """Whether a place can mean the same on every node: a URL, or an absolute path."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*:/", place)) or place.startswith("/")


def require_shared(config: SearchConfig, study: str | None) -> None:
    """Raise ConfigError for what lies on this machine alone, all of it at once."""
    places = {"storage": str(config.storage)} if study is None else {"--study": study}
    if config.data.path is not None:
        places["data.path"] = str(config.data.path)
    for name in config.space.weights.values:
        if name not in WEIGHTS:
            places[f"space.weights: {name}"] = name
    problems = [
        f"{key}: {_local(place)}{_remedy(key)}"
        for key, place in places.items()
        if not is_shared(place)
    ]
    if problems:
        raise ConfigError(problems)


def _require_place(study: str | None, option: str) -> None:
    """Refuse a URL where no study can lie, or with credentials: the job's line is shown to all."""
    wrong = problem(study) if study is not None and is_url(study) else None
    if wrong is not None:
        raise ConfigError([f"{option}: {wrong}"])


def _local(place: str) -> str:
    return (
        f"found {place}, expected a URL, or an absolute path that every node sees: the folder "
        "that a job runs in goes when it ends"
    )


def _remedy(key: str) -> str:
    return " (try --set storage=s3://BUCKET/studies)" if key == "storage" else ""


def pack(folder: Path, config: SearchConfig | None) -> None:
    """Fill a folder with this package, as it is installed here, and the resolved space."""
    junk = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(PACKAGE, folder / "tlsearch", ignore=junk)
    _pack_spaces(folder / "tlsearch" / "search_spaces")
    _pack_version(folder)
    if config is not None:
        (folder / SPACE).write_text(dump(config), encoding="utf-8")


def _pack_spaces(folder: Path) -> None:
    """The shipped spaces, which an editable installation keeps beside the package."""
    folder.mkdir(exist_ok=True)
    for file in shipped_spaces().values():
        if not (folder / file.name).exists():
            shutil.copy(file, folder)


def _pack_version(folder: Path) -> None:
    """What says the version of the code that travels, rather than of one installed on a node."""
    version = metadata.version("tlsearch")
    about = folder / f"tlsearch-{version}.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: tlsearch\nVersion: {version}\n", encoding="utf-8"
    )
