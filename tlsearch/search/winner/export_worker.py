"""The process that exports the winner: on the driver's node, beside the trials, without a GPU."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tlsearch.base.array_types import Floats
from tlsearch.base.errors import TlsearchError
from tlsearch.base.phases import heard_by
from tlsearch.bundle.export_request import ExportRequest
from tlsearch.bundle.manifest import TestScore
from tlsearch.bundle.reload_check import Checkers
from tlsearch.config.schema import SearchConfig
from tlsearch.search.cluster.ray_session import answer, hide_gpus, this_node
from tlsearch.search.relay import send
from tlsearch.search.trial.prepared_images import preparing_threads

# What the network predicts for the validation split, (n, classes), and format -> why it is left out
Made = tuple[Floats, dict[str, str]]


class Exporter:
    """In the process itself: TensorFlow imported, and clean processes that wait for files."""

    def __init__(self, formats: tuple[str, ...], threads: int) -> None:
        hide_gpus()
        self._checkers = Checkers(formats)  # which import their runtimes meanwhile
        from tlsearch.training.runtime import limit_threads

        limit_threads(threads)

    def export(self, request: ExportRequest) -> tuple[dict[str, Any], Made | TlsearchError]:
        """The test score with all that belongs to it, evaluated unless it is known; and, once the
        bundle is in its place, what was made, or why there is no bundle.
        """
        from tlsearch.training.export.exporter import export_bundle
        from tlsearch.training.export.whole_model import restored, test_score

        evaluated, test = {}, request.test
        with heard_by(send), self._checkers:
            trained = restored(request.checkpoint, request.data, request.recorded)
            if test is None:
                evaluated = test_score(trained, request.data)
                images = evaluated["evaluation"]["images"]
                test = score_of({**evaluated, "images": images})
            try:
                made = export_bundle(replace(request, test=test), trained, self._checkers)
            except TlsearchError as error:  # the split was seen all the same, and that is noted
                return evaluated, error
        return evaluated, (made.validation, made.manifest.left_out)


def score_of(test: Mapping[str, object]) -> TestScore:
    """A test score as the manifest holds it."""
    ends = {name: test.get(name) for name in ("low", "high", "interval")}
    return TestScore(
        metric=test["metric"], value=test["value"], pictures=test.get("images"), **ends
    )


class ExportWorker:
    """The exporter as the driver sees it: best begun while the winner is still being confirmed,
    since it imports TensorFlow.
    """

    def __init__(self, config: SearchConfig) -> None:
        self._formats, self._threads = config.export, preparing_threads(config.resources)
        self._actor: Any = None

    def begin(self) -> None:
        """Begin the process, unless that was done."""
        if self._actor is not None:
            return
        import ray

        # On the driver's node, also where that takes no trials: it is sure to see the pictures.
        options = {"num_cpus": 0, "max_restarts": 1, "max_task_retries": 1}
        kind = ray.remote(Exporter).options(**options, scheduling_strategy=this_node())
        self._actor = kind.remote(self._formats, self._threads)

    def export(self, request: ExportRequest) -> tuple[dict[str, Any], Made | TlsearchError]:
        """As `Exporter.export`; what it raises is raised here."""
        self.begin()
        made: tuple[dict[str, Any], Made | TlsearchError]
        made = answer(self._actor.export.remote(request))
        return made

    def end(self) -> None:
        """End the process; those that it began end with it."""
        if self._actor is not None:
            import ray

            ray.kill(self._actor)


@contextlib.contextmanager
def export_worker(config: SearchConfig) -> Iterator[ExportWorker]:
    """A worker that has not begun; ended with the block."""
    worker = ExportWorker(config)
    try:
        yield worker
    finally:
        worker.end()
