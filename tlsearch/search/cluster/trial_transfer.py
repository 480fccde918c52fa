"""A trial's files on their way between the node that trains it and the driver's study directory."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.remote.differences import Stamp
from tlsearch.results.remote.sync import local_stamps
from tlsearch.search.cluster.node_files import files_here
from tlsearch.search.cluster.nodes import here


@dataclass(frozen=True)
class Handover:
    """The driver's node, and the actor there that reads and writes the files of trials."""

    node: str
    files: Any

    def read(self, path: Path) -> bytes | None:
        """A file of the driver's node, None where it is not there."""
        found: bytes | None = self._asked("read", path)
        return found

    def write(self, path: Path, data: bytes) -> None:
        """Put a file in its place on the driver's node; it is there when this returns."""
        self._asked("write", path, data)

    def _asked(self, method: str, *arguments: Any) -> Any:
        """The answer, also where the actor had to be started again: no file of a trial is lost."""
        import ray

        return ray.get(getattr(self.files, method).options(max_task_retries=-1).remote(*arguments))


def handover(home: StudyDirectory, cache: Path) -> Handover | None:
    """The way for the files of a study in a bucket, whose local copy the driver alone has; None
    for one whose directory all nodes share.
    """
    return None if home.url is None else Handover(here(), files_here(cache))


class TrialFolder:
    """A trial's folder where it trains: the study's own, or one of this node alone, whose files
    are handed over.
    """

    def __init__(self, study: Path, number: int, way: Handover | None) -> None:
        self._drivers = StudyDirectory(study).trial(number)
        self._way = way if way is not None and way.node != here() else None
        self._scratch = Path(tempfile.mkdtemp(prefix="tlsearch-trial-")) if self._way else None
        self.home = StudyDirectory(self._scratch or study)
        self.path = self.home.trial(number)
        self.path.mkdir(parents=True, exist_ok=True)
        self._handed: dict[str, Stamp] = {}

    def fetch(self, *names: str) -> None:
        """Have these files as the driver has them, before the trial goes on from them."""
        if self._way is None:
            return
        for name in names:
            data = self._way.read(self._drivers / name)
            (self.path / name).unlink(missing_ok=True)
            if data is not None:
                (self.path / name).write_bytes(data)
                self._handed[name] = local_stamps(self.path)[name]

    def hand_over(self) -> None:
        """Give the driver what changed; it has it when this returns."""
        if self._way is None:
            return
        for name, stamp in local_stamps(self.path).items():
            if self._handed.get(name) != stamp:
                data = (self.path / name).read_bytes()
                self._way.write(self._drivers / name, data)
                self._handed[name] = stamp

    def leave(self) -> None:
        """Hand over the rest; nothing stays on a node that is not the driver's."""
        self.hand_over()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._way = None


@contextlib.contextmanager
def trial_folder(study: Path, number: int, way: Handover | None) -> Iterator[TrialFolder]:
    """A trial's folder for a block; what it wrote is the driver's at its end."""
    folder = TrialFolder(study, number, way)
    try:
        yield folder
    finally:
        folder.leave()
