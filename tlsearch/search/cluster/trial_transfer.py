"""The transfer of a trial's files between the node that trains it and the driver's directory, and
of networks to the nodes.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsearch.base.files import atomic_file
from tlsearch.config.networks.lookup import kept_file
from tlsearch.config.networks.own import networks_folder
from tlsearch.config.schema import SearchConfig
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.remote.differences import Stamp
from tlsearch.results.remote.sync import local_stamps
from tlsearch.search.cluster.node_files import files_here
from tlsearch.search.cluster.nodes import this_node
from tlsearch.search.cluster.ray_session import has_joined


@dataclass(frozen=True)
class Handover:
    """The driver's node and its file actor, which reads and writes the files of trials there."""

    node: str
    files: Any

    def read(self, path: Path) -> bytes | None:
        """Return the content of a file on the driver's node, or None if it does not exist."""
        found: bytes | None = self._call("read", path)
        return found

    def write(self, path: Path, data: bytes) -> None:
        """Write a file on the driver's node; returns once it is there."""
        self._call("write", path, data)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the actor; the call is retried if the actor restarts, so that no file is lost."""
        import ray

        return ray.get(getattr(self.files, method).options(max_task_retries=-1).remote(*arguments))


def handover(home: StudyDirectory, cache: Path) -> Handover | None:
    """Return the handover for a study at a URL, whose local copy only the driver has.

    Returns None for a study whose directory all nodes share.
    """
    return None if home.url is None else Handover(this_node(), files_here(cache))


@dataclass(frozen=True)
class Networks:
    """The files of networks from outside the catalogue, for nodes that lack them.

    `contents` maps each file's path below `networks_folder()`, a folder that nodes do not share,
    to its content in Ray's object store.
    """

    contents: dict[str, Any]

    def __call__(self) -> None:
        """Write the files that this node lacks."""
        import ray

        for name, content in self.contents.items():
            path = networks_folder() / name
            if not path.is_file():
                with atomic_file(path) as file:
                    file.write(ray.get(content))


def networks_to_send(config: SearchConfig) -> Networks | None:
    """Return the networks of a search that other nodes may lack; None for a local Ray."""
    import ray

    if not has_joined():
        return None
    found = filter(None, map(kept_file, config.space.backbone.values))
    folder = networks_folder()
    return Networks({str(p.relative_to(folder)): ray.put(p.read_bytes()) for p in found})


class TrialFolder:
    """A trial's folder on the node that trains it: the one in the study's directory, or a
    temporary one on this node, whose files are handed over to the driver.
    """

    def __init__(self, study: Path, number: int, way: Handover | None) -> None:
        self._drivers = StudyDirectory(study).trial(number)
        self._way = way if way is not None and way.node != this_node() else None
        self._scratch = Path(tempfile.mkdtemp(prefix="tlsearch-trial-")) if self._way else None
        self.home = StudyDirectory(self._scratch or study)
        self.path = self.home.trial(number)
        self.path.mkdir(parents=True, exist_ok=True)
        self._handed: dict[str, Stamp] = {}

    def fetch(self, *names: str) -> None:
        """Copy these files from the driver, so that the trial can resume from them.

        A file that the driver does not have is deleted here.
        """
        if self._way is None:
            return
        for name in names:
            data = self._way.read(self._drivers / name)
            (self.path / name).unlink(missing_ok=True)
            if data is not None:
                (self.path / name).write_bytes(data)
                self._handed[name] = local_stamps(self.path)[name]

    def hand_over(self) -> None:
        """Send changed files to the driver; returns once it has them."""
        if self._way is None:
            return
        for name, stamp in local_stamps(self.path).items():
            if self._handed.get(name) != stamp:
                data = (self.path / name).read_bytes()
                self._way.write(self._drivers / name, data)
                self._handed[name] = stamp

    def leave(self) -> None:
        """Send the remaining changes and delete the temporary folder, if there is one."""
        self.hand_over()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._way = None


@contextlib.contextmanager
def trial_folder(study: Path, number: int, way: Handover | None) -> Iterator[TrialFolder]:
    """Open a trial's folder for the block; at its end the driver has all files."""
    folder = TrialFolder(study, number, way)
    try:
        yield folder
    finally:
        folder.leave()
