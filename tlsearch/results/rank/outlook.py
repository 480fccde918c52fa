"""Whether more trials would help: how the best score rose, and what further trials can add."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.interval import wilson
from tlsearch.results.record.journal import StudyRecord, TrialRecord

MORE = 10  # trials that the outlook asks about; half of those at hand where there are fewer than 20
LEAST = 6  # trials, below which nothing is said


@dataclass(frozen=True)
class Step:
    """The end of a trial: `seconds` is the time until then in which some trial was at work,
    `value` the trial's best, None where it has none; `best` the study's best so far.
    """

    trial: int
    seconds: float
    value: float | None
    best: float | None


def steps(record: StudyRecord) -> list[Step]:
    """The trials that ended, in the order in which they did."""
    ended = [trial for trial in record.trials if trial.state not in ("waiting", "unfinished")]
    found: list[Step] = []
    for trial, seconds in _clocked(ended):
        own = trial.best(record.direction) if trial.state in ("finished", "stopped") else None
        value, before = (own and own[1]), (found[-1].best if found else None)
        known = [one for one in (value, before) if one is not None]
        found.append(
            Step(trial.number, seconds, value, record.direction.best(known) if known else None)
        )
    return found


def gain(values: Sequence[float | None], more: int, direction: Direction) -> float:
    """By how much the last `more` of these trials raise the best score, on average over all orders.

    So many further trials of the same kind can be expected to raise it by no more: the expected
    best of m independent draws is concave in m. None stands for a trial without a value.
    """
    known = sorted((value for value in values if value is not None), key=direction.key)
    known += [known[-1]] * (len(values) - len(known)) if known else []
    expected, all_last = 0.0, 1.0  # the probability that the best so many are all among the last
    for place, value in enumerate(known[: more + 1]):
        first_left = (len(known) - more) / (len(known) - place)
        expected += all_last * first_left * direction.gain(known[0], value)
        all_last *= 1 - first_left
    return expected


def outlook(record: StudyRecord, counted: int | None) -> list[str]:
    """Whether more trials would help, in sentences; `counted` are the validation images where the
    metric is a share of them.
    """
    found = steps(record)
    best = found[-1].best if found else None
    if best is None:
        return []
    told = [_last_rise(found, best)]
    if len(found) < LEAST:
        return [*told, f"{len(found)} trials are too few to tell whether more would help"]
    more = min(MORE, len(found) // 2)
    mean = gain([step.value for step in found], more, record.direction)
    before = found[-more - 1].best
    real = 0.0 if before is None else abs(best - before)
    last = f"the last {more} of these {len(found)}"
    how = f"as much as {last} added" if real > mean else f"as much as {last} add in a random order"
    return [*told, _answer(more, max(mean, real), how, best, counted)]


def _last_rise(found: Sequence[Step], best: float) -> str:
    at = next(place for place, step in enumerate(found) if step.best == best)
    since = len(found) - at - 1
    after = f"{found[at].seconds:.0f} of {found[-1].seconds:.0f} s"
    later = "trial" if since == 1 else f"{since} trials"
    tail = f"and not in the {later} that ended since" if since else "the last to end"
    return (
        f"the best score of the search, {best:.4f}, came with trial {found[at].trial} "
        f"after {after}, {tail}"
    )


def _answer(more: int, most: float, how: str, best: float, counted: int | None) -> str:
    """Whether `more` trials help that can add `most`, known from `how`.

    A search that learns may go on to gain as it did last, so that `most` is the larger of what the
    last trials added and what they would add in a random order.
    """
    said = f"at most about {most:.4f} can be expected, {how}"
    if counted and 0 <= best <= 1:
        low, high = wilson(best, counted)
        chance = (high - low) / 4  # about one standard error
        side = "less" if most < chance else "more"
        said += (
            f"; {side} than the {chance:.4f} by which chance moves a score on {counted} pictures"
        )
        word = "would hardly help" if most < chance else "may help"
    else:
        word = "may help" if most else "would hardly help"
    return f"{more} more trials like these {word}: {said}"


def _clocked(ended: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float]]:
    """Trials by their ends, each with the time until then in which some trial was at work; where a
    journal does not say when, the sum of their seconds so far.
    """
    spans = [(t.started, t.ended, t) for t in ended if t.started and t.ended]
    if len(spans) < len(ended):
        sums, found = 0.0, []
        for trial in ended:
            sums += trial.seconds
            found.append((trial, sums))
        return found
    busy = _merged([(start, end) for start, end, _ in spans])
    spans.sort(key=lambda span: (span[1], span[2].number))
    return [(trial, _until(end, busy)) for _, end, trial in spans]


def _merged(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The times in which any of the spans was under way, in order."""
    found: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _until(now: datetime, busy: Sequence[tuple[datetime, datetime]]) -> float:
    """The seconds of `busy` times before `now`."""
    return sum((min(end, now) - start).total_seconds() for start, end in busy if start < now)
