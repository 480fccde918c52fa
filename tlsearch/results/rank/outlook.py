"""The outlook of a search: how its best score rose, and how much more trials can add."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.interval import wilson
from tlsearch.results.record.journal import StudyRecord, TrialRecord

MORE = 10  # further trials in the outlook; with fewer than 20 ended trials, half of their number
LEAST = 6  # ended trials that an outlook needs


@dataclass(frozen=True)
class Step:
    """The end of a trial.

    `seconds` is the time until then during which at least one trial ran. `value` is the trial's
    best value, None if it has none; `best` is the study's best value so far.
    """

    trial: int
    seconds: float
    value: float | None
    best: float | None


def ended_in_order(record: StudyRecord) -> list[Step]:
    """Return the ended trials, in the order of their ends if the journal holds all their times."""
    ended = [trial for trial in record.trials if trial.state not in ("waiting", "unfinished")]
    found: list[Step] = []
    for trial, seconds in _with_search_seconds(ended):
        own = trial.best(record.direction) if trial.state in ("finished", "stopped") else None
        value, before = (own and own[1]), (found[-1].best if found else None)
        known = [one for one in (value, before) if one is not None]
        found.append(
            Step(trial.number, seconds, value, record.direction.best(known) if known else None)
        )
    return found


def expected_gain(values: Sequence[float | None], more: int, direction: Direction) -> float:
    """Return by how much the last `more` trials improve the best score, averaged over all orders.

    This bounds the expected gain from `more` further trials of the same kind, because the expected
    best of m independent draws is concave in m. None stands for a trial without a value.
    """
    known = sorted((value for value in values if value is not None), key=direction.key)
    known += [known[-1]] * (len(values) - len(known)) if known else []
    # all_last: the probability that the best `place` trials are all among the last `more`
    expected, all_last = 0.0, 1.0
    for place, value in enumerate(known[: more + 1]):
        first_left = (len(known) - more) / (len(known) - place)
        expected += all_last * first_left * direction.gain(known[0], value)
        all_last *= 1 - first_left
    return expected


def outlook(record: StudyRecord, counted: int | None) -> list[str]:
    """Return sentences on whether more trials would help.

    `counted` is the number of validation images if the metric is a share of them.
    """
    found = ended_in_order(record)
    best = found[-1].best if found else None
    if best is None:
        return []
    lines = [_last_gain(found, best)]
    if len(found) < LEAST:
        return [*lines, f"{len(found)} trials are too few to tell whether more would help"]
    more = min(MORE, len(found) // 2)
    mean = expected_gain([step.value for step in found], more, record.direction)
    before = found[-more - 1].best
    real = 0.0 if before is None else abs(best - before)
    added = f"what the last {more} of these {len(found)} trials added"
    average = f"the mean gain of the last {more} trials over all orders of these {len(found)}"
    how = f"which is {added if real > mean else average}"
    return [*lines, _answer(more, max(mean, real), how, best, counted)]


def _last_gain(found: Sequence[Step], best: float) -> str:
    at = next(place for place, step in enumerate(found) if step.best == best)
    since = len(found) - at - 1
    after = f"{found[at].seconds:.0f} of {found[-1].seconds:.0f} s"
    later = "trial" if since == 1 else f"{since} trials"
    tail = f"the {later} that ended later did not improve it" if since else "no trial ended later"
    return (
        f"trial {found[at].trial} reached the best score of the search, {best:.4f}, "
        f"after {after}; {tail}"
    )


def _answer(more: int, most: float, how: str, best: float, counted: int | None) -> str:
    """Return the sentence on whether `more` trials help that can add at most `most`.

    A sampler that learns may continue to gain as it did recently. `most` is therefore the larger of
    the gain of the last trials and their expected gain in a random order; `how` names which.
    """
    sentence = f"the best score is expected to improve by at most about {most:.4f}, {how}"
    if counted and 0 <= best <= 1:
        low, high = wilson(best, counted)
        chance = (high - low) / 4  # about one standard error
        side = "less" if most < chance else "more"
        sentence += (
            f"; that is {side} than the standard error of a score on {counted} pictures "
            f"({chance:.4f})"
        )
        word = "would hardly help" if most < chance else "may help"
    else:
        word = "may help" if most else "would hardly help"
    return f"{more} more trials like these {word}: {sentence}"


def _with_search_seconds(ended: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float]]:
    """Return the trials by their ends, each with the seconds until then in which some trial ran.

    If a trial has no recorded start or end, the trials keep their order, and the seconds are the
    running sum of the trials' own seconds.
    """
    spans = [(t.started, t.ended, t) for t in ended if t.started and t.ended]
    if len(spans) < len(ended):
        sums, found = 0.0, []
        for trial in ended:
            sums += trial.seconds
            found.append((trial, sums))
        return found
    busy = _merge_spans([(start, end) for start, end, _ in spans])
    spans.sort(key=lambda span: (span[1], span[2].number))
    return [(trial, _until(end, busy)) for _, end, trial in spans]


def _merge_spans(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return the union of some time spans as disjoint spans, in order."""
    found: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _until(now: datetime, busy: Sequence[tuple[datetime, datetime]]) -> float:
    """Return the seconds of the `busy` spans that lie before `now`."""
    return sum((min(end, now) - start).total_seconds() for start, end in busy if start < now)
