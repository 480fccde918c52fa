"""The Ray actor that exports the winner: on the driver's node, beside the trials, without a GPU."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tlsearch.base.array_types import Floats
from tlsearch.base.errors import TlsearchError
from tlsearch.base.phases import heard_by
from tlsearch.bundle.export_request import ExportRequest
from tlsearch.bundle.manifest import TestScore
from tlsearch.bundle.reload_check import Checkers
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.cluster.ray_session import hide_gpus, on_this_node, wait_for_result
from tlsearch.search.relay import send
from tlsearch.search.trial.prepared_images import preparing_threads

if TYPE_CHECKING:
    from tlsearch.training.export.whole_model import Restored

# The predictions for the validation split, (n, classes), and format -> the reason it is left out.
Made = tuple[Floats, dict[str, str]]


class Exporter:
    """The actor in the worker process: it imports TensorFlow and starts the clean processes that
    will reload the exported files.
    """

    def __init__(self, formats: tuple[str, ...], threads: int) -> None:
        hide_gpus()
        self._checkers = Checkers(formats)  # they import their runtimes in the meantime
        from tlsearch.training.runtime import limit_resources

        limit_resources(threads)

    def prepare(self, trial: TrialConfig, classes: int) -> None:
        """Prepare to export the trial, whose final weights do not exist yet.

        An error is ignored, because the export of the trial raises it.
        """
        from tlsearch.training.export.whole_model import prepare

        with contextlib.suppress(TlsearchError):
            prepare(trial, classes)

    def export(self, request: ExportRequest) -> tuple[dict[str, Any], Made | TlsearchError]:
        """Evaluate the winner on the test split, unless its score is known, and export the bundle.

        Returns the test evaluation, empty if the score was known; and the validation predictions
        with the formats left out, or the error if there is no bundle.
        """
        from tlsearch.training.export.exporter import export_bundle
        from tlsearch.training.export.whole_model import score_on_test

        evaluated: dict[str, Any] = {}

        def score_test(trained: "Restored") -> TestScore | None:
            if request.test is None:
                evaluated.update(score_on_test(trained))
            images = evaluated.get("evaluation", {}).get("images")
            return request.test or score_of({**evaluated, "images": images})

        with heard_by(send), self._checkers:
            try:
                made = export_bundle(request, self._checkers, score_test)
            except TlsearchError as error:
                if not evaluated and request.test is None:
                    raise
                return evaluated, error  # the test split was used anyway, which must be recorded
        return evaluated, (made.validation, made.manifest.left_out)


def score_of(test: Mapping[str, object]) -> TestScore:
    """Return a test score in the form of the manifest."""
    ends = {name: test.get(name) for name in ("low", "high", "interval")}
    return TestScore(
        metric=test["metric"], value=test["value"], pictures=test.get("images"), **ends
    )


class ExportWorker:
    """The driver's handle of the exporter.

    It is best started while the winner is still being confirmed, because importing TensorFlow takes
    time.
    """

    def __init__(self, config: SearchConfig) -> None:
        self._formats, self._threads = config.export, preparing_threads(config.resources)
        self._actor: Any = None
        self._prepared: TrialConfig | None = None

    def begin(self) -> None:
        """Start the process, unless that was done already."""
        if self._actor is not None:
            return
        import ray

        # On the driver's node, even if it takes no trials: only there the images are sure to exist.
        options = {"num_cpus": 0, "max_restarts": 1, "max_task_retries": 1}
        kind = ray.remote(Exporter).options(**options, scheduling_strategy=on_this_node())
        self._actor = kind.remote(self._formats, self._threads)

    def prepare(self, trial: TrialConfig, classes: int) -> None:
        """Let the process prepare to export a trial, and do not wait for it."""
        self.begin()
        if trial != self._prepared:
            self._prepared = trial
            self._actor.prepare.remote(trial, classes)

    def export(self, request: ExportRequest) -> tuple[dict[str, Any], Made | TlsearchError]:
        """Run `Exporter.export` in the process; its errors are raised here."""
        self.begin()
        made: tuple[dict[str, Any], Made | TlsearchError]
        made = wait_for_result(self._actor.export.remote(request))
        return made

    def end(self) -> None:
        """End the process and the processes that it started."""
        if self._actor is not None:
            import ray

            ray.kill(self._actor)


@contextlib.contextmanager
def export_worker(config: SearchConfig) -> Iterator[ExportWorker]:
    """Yield a worker that has not been started; it is ended with the block."""
    worker = ExportWorker(config)
    try:
        yield worker
    finally:
        worker.end()
