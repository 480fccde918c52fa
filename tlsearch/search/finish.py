"""The end of a search: export the winner, evaluate it once on the test split, tidy up."""

from pathlib import Path
from typing import Any

from tlsearch.data.sources import ImageData
from tlsearch.results.journal import StudyRecord, note, read
from tlsearch.results.leaderboard import keep_for_export, ranked
from tlsearch.results.storage import StudyDirectory
from tlsearch.search.cluster import in_worker

KEPT_TRIALS = 5
MODEL = "model.keras"


def finish(home: StudyDirectory, data: ImageData, cpus: int) -> dict[str, Any] | None:
    """Export the best trial to `best/` and note its test score; None where no trial was ranked.

    Once the test score of a trial is noted, it is not evaluated again.
    """
    record = read(home.journal_file)
    order = ranked(record)
    if not order:
        return None
    winner = order[0].number
    evaluated = record.facts.get("test", {}).get("trial") == winner
    if evaluated and (home.best / MODEL).is_file():
        return dict(record.facts["test"])
    weights = home.trial(winner) / "best.npz"
    report = in_worker(export_in_worker, weights, data, home.best / MODEL, True, cpus)
    test = {"trial": winner, "value": report["test"], "images": report["test_images"]}
    note(home.journal_file, {"test": test, "export": {**report, "path": f"best/{MODEL}"}})
    return test


def export_in_worker(
    weights: Path, data: ImageData, out: Path, test: bool, cpus: int
) -> dict[str, Any]:
    """Export one checkpoint; runs where TensorFlow may be imported."""
    from tlsearch.training.runtime import limit_threads

    limit_threads(cpus)
    from tlsearch.training.export import export_keras

    return export_keras(weights, data, out, test).to_json()


def drop_weights(home: StudyDirectory, record: StudyRecord) -> None:
    """Keep the weights of the best trials alone, and the resume state of unfinished ones."""
    kept = set(keep_for_export(record, KEPT_TRIALS))
    for trial in record.trials:
        if trial.state == "unfinished":
            continue
        (home.trial(trial.number) / "resume.npz").unlink(missing_ok=True)
        if trial.number not in kept:
            (home.trial(trial.number) / "best.npz").unlink(missing_ok=True)
