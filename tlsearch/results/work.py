"""What a study computed, against the least that would have done."""

from collections.abc import Iterable

from tlsearch.results.journal import StudyRecord, TrialRecord


def work_ratio(trials: Iterable[TrialRecord]) -> float | None:
    """Multiply-adds done, over the least possible; None where no trial says.

    The least: one pass of each frozen prefix for every image and view, and what trials train
    beyond it. Below 1 where an earlier study's features were found in the cache.
    """
    works = [trial.work for trial in trials if trial.work]
    passes: dict[str, float] = {}
    for work in works:
        name = str(work["prefix"])
        passes[name] = max(passes.get(name, 0.0), float(work["prefix_pass"]))
    least = sum(passes.values()) + sum(float(work["least"]) for work in works)
    return sum(float(work["done"]) for work in works) / least if least else None


def work_line(record: StudyRecord) -> str | None:
    """The ratio in words, with the reason where it is below 1; None where no trial says."""
    ratio = work_ratio(record.trials)
    if ratio is None:
        return None
    found = " (an earlier study left its features in the cache)" if ratio < 0.995 else ""
    return f"work done over the least possible: {ratio:.2f}{found}"
