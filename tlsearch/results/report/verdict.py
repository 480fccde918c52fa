"""The verdict that opens a report: who won, whether the lead is real, whether to trust the test."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.spelling import with_spaces
from tlsearch.results.rank import confirmation
from tlsearch.results.rank.context import RankingContext
from tlsearch.results.rank.interval import wilson
from tlsearch.results.rank.leaderboard import Leaderboard
from tlsearch.results.rank.outlook import outlook
from tlsearch.results.rank.perfect import perfect_message, perfect_trial
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import StudyRecord, results_on_test

Row = Mapping[str, Any]

NAMED = 8  # tied trials listed by number; further ones are only counted
FRESH = (
    "fresh seed: the configuration is trained again with other random numbers; ±: standard error "
    "of the mean over the seeds"
)
WIDE = 0.1  # a wider interval of the test score calls for a larger test split


@dataclass(frozen=True)
class Verdict:
    """The sentences of a verdict, without full stops: `lines` are the findings, `warnings` are
    cautions, and `more` says whether more trials would help.
    """

    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def text(self) -> list[str]:
        """Return all sentences, one per line."""
        return [*self.lines, *(f"warning: {line}" for line in self.warnings), *self.more]


def verdict(board: Leaderboard) -> Verdict:
    """Return the verdict of a study; it is empty before the first trial has a value."""
    record, about, context, row = board.record, board.about, board.context, board.leader
    if row is None:
        return Verdict()
    test = last_test(record, about)
    lines = [_leader_line(row, board), *_confirmation_lines(record, row, context)]
    lines += _tie_lines(row, board) + _prior(record)
    warnings: list[str] = []
    if test is not None:
        lines.append(_test_line(test))
        compared, worse = _against_validation(record, about, test) or ("", False)
        (warnings if worse else lines).append(compared)
        warnings += _test_warnings(record, test)
    compared, worse = _against_baselines(record, row) or ("", False)
    (warnings if worse else lines).append(compared)
    more = [] if (end := _perfect(record, about)) else outlook(record, context.counted)
    lines += end
    return Verdict(tuple(filter(None, lines)), tuple(filter(None, warnings)), tuple(more))


def baseline_rows(record: StudyRecord) -> list[tuple[str, float]]:
    """Return the (name, value) of the baselines: validation scores that a search must beat."""
    return sorted(record.facts.get("baselines", {}).items(), key=lambda item: str(item[0]))


def last_test(record: StudyRecord, about: Mapping[str, Any]) -> dict[str, object] | None:
    """Return the newest test score with its metric and, if known, its interval; None if there is
    no test score yet.
    """
    test = record.facts.get("test")
    return None if test is None else named_test(test, about)


def named_test(test: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, object]:
    """Add the metric and, for accuracy, Wilson's interval to a test score that lacks them, as in
    older journals.
    """
    found = {"metric": about["config"]["metric"], **test}
    if "low" in found or found["metric"] != "accuracy" or not found.get("images"):
        return found
    low, high = wilson(found["value"], found["images"])
    return {**found, "low": low, "high": high, "interval": "Wilson"}


def describe_trial(row: Row, between: str = " ") -> str:
    """Describe a trial's configuration in short, without unknown values."""
    depth = Depth.of(row)
    rate = row[depth.rate]
    shown = f"{rate:.3g}" if isinstance(rate, float) else rate
    known = {"": row["backbone"], "unfrozen ": depth.label, "head ": row["head_units"]}
    parts = {**known, "lr ": shown}
    return between.join(f"{name}{value}" for name, value in parts.items() if value is not None)


def _leader_line(row: Row, board: Leaderboard) -> str:
    """The winner or leader, its value in the search, and its place there."""
    word = "wins" if row["winner"] else "leads so far"
    between = "" if row["low"] is None else f" (95 %: {row['low']:.4f} to {row['high']:.4f})"
    counted = board.context.counted
    images = f" on {counted} pictures" if counted else ""
    ranked = [one for one in board.rows if one["rank"] is not None]
    other = next((one for one in ranked if one["trial"] != row["trial"]), None)
    place = f"place {row['rank']} of {len(ranked)}"
    place += "" if other is None else f", {_lead(row, other)}"
    what = describe_trial(row, ", ")
    who = f"trial {row['trial']} {word}" + (f" ({what})" if what else "")
    return (
        f"{who}: validation {with_spaces(board.metric)} "
        f"{row['metric']:.4f}{between}{images} in the search, {place}"
    )


def _lead(row: Row, other: Row) -> str:
    """The distance of a trial from the best of the others."""
    side = "ahead of" if row["rank"] == 1 else "behind"
    return f"{abs(row['metric'] - other['metric']):.4f} {side} trial {other['trial']}"


def _confirmation_lines(record: StudyRecord, row: Row, context: RankingContext) -> list[str]:
    """The results on fresh seeds and of the refinement, or a note that there were none."""
    lines = confirmation.confirmation_lines(record, context.counted)
    if lines:
        return [*lines, FRESH]
    if not row["winner"]:
        return []
    return [
        "the winner was not trained again on fresh seeds: part of the lead of the best trial is "
        "luck; confirm: 1 or more trains it again if time allows"
    ]


def _tie_lines(row: Row, board: Leaderboard) -> list[str]:
    """The trials that the validation split cannot tell from the leader of the search."""
    table, counted = board.rows, board.context.counted
    others = [one["trial"] for one in table if one["rank"] not in (None, 1) and one["tied"]]
    known = any(one["low"] is not None or one["p_value"] is not None for one in table)
    first = next(one for one in table if one["rank"] == 1)["trial"]
    leader = "it" if first == row["trial"] else f"trial {first}, the first of the search"
    images = f"the {counted}" if counted else "these"
    if others:
        names = ", ".join(map(str, others[:NAMED]))
        more = len(others) - NAMED
        names += f" and {more} more" if more > 0 else ""
        are = f"trial{'s' * (len(others) > 1)} {names}"
        return [f"tied with {leader} on {images} validation pictures: {are}"]
    return (
        [f"no other trial is tied with {leader} on {images} validation pictures"] if known else []
    )


def _prior(record: StudyRecord) -> list[str]:
    """The number of trials by the prior, and the best of them beside the best of the others."""
    count = sum(trial.by_prior for trial in record.trials)
    if not count:
        return []
    line = f"the prior proposed {count} of {len(record.trials)} trials"
    for by_prior, whose in ((True, "its best"), (False, "the best of the others")):
        first = next((trial for trial in ranked_trials(record) if trial.by_prior == by_prior), None)
        best = None if first is None else first.best(record.direction)
        if first is not None and best is not None:
            line += f"; {whose} is trial {first.number} ({best[1]:.4f})"
    return [line]


def _test_line(test: Row) -> str:
    """The newest test score, its interval and the method of the interval."""
    between = ""
    if "low" in test:
        rounds = f" of {test['rounds']} rounds" if "rounds" in test else ""
        method = f", {test['interval']}{rounds}" if "interval" in test else ""
        between = f" (95 %: {test['low']:.4f} to {test['high']:.4f}{method})"
    return (
        f"test {with_spaces(test['metric'])} of trial {test['trial']}, evaluated once: "
        f"{test['value']:.4f}{between} on {test['images']} pictures that no trial has seen"
    )


def _against_validation(
    record: StudyRecord, about: Mapping[str, Any], test: Row
) -> tuple[str, bool] | None:
    """Compare the test score with the validation score: a sentence, and whether the test score is
    worse than chance allows; None if the journal lacks one of them, its images or its interval.

    The validation score is the mean of the confirming runs, if there are any, since they did not
    select the trial. For accuracy its interval is Wilson's. For other metrics it is the interval of
    the test score, scaled by the square root of the ratio of the numbers of images.
    """
    # The two intervals combine into one of the difference (Newcombe 1998, Stat. in Medicine 17:873,
    # method 10).
    images = about.get("data", {}).get("images", {}).get("validation")
    value = _validation_value(record, test["trial"])
    comparable = (
        test["metric"] == about["config"]["metric"] and "low" in test and test.get("images")
    )
    if value is None or not comparable or not images:
        return None
    gain, score = record.direction.gain, test["value"]
    up = max(gain(test[bound], score) for bound in ("low", "high"))
    down = up * sqrt(test["images"] / images)
    if test["metric"] == "accuracy":
        down = value - wilson(value, images)[0]
    worse = gain(value, score)
    counts = f"on {images} and {test['images']} pictures"
    if worse <= hypot(down, up):
        apart = f"test and validation differ by {abs(worse):.4f}"
        return f"{apart}, which chance alone can explain {counts}", False
    return (
        f"the test score lies {worse:.4f} {'below' if score < value else 'above'} validation "
        f"({value:.4f}), more than chance alone can explain {counts}: expect the test score on new "
        "pictures; check whether the test pictures are of another kind, and whether the validation "
        "split holds copies of training pictures"
    ), True


def _validation_value(record: StudyRecord, trial: int) -> float | None:
    """A trial's mean over fresh seeds, or its best value in the search if there are none."""
    order = confirmation.confirmed_candidates(confirmation.runs_of(record.facts), record.direction)
    found = next((one.mean for one in order if one.trial == trial), None)
    best = next((t.best(record.direction) for t in record.trials if t.number == trial), None)
    return found if found is not None or best is None else best[1]


def _test_warnings(record: StudyRecord, test: Row) -> list[str]:
    """Reasons to be careful with the test score: a wide interval, several tested winners."""
    found = []
    if "low" in test and test["high"] - test["low"] > WIDE and test["metric"] != "loss":
        found.append(
            f"the interval of the test score is {test['high'] - test['low']:.2f} wide, since the "
            f"test split has only {test['images']} pictures: four times as many would halve it"
        )
    if (winners := len(results_on_test(record))) > 1:
        found.append(
            f"the test split was evaluated for {winners} winners: if you choose between them by "
            "test score, that score is optimistic"
        )
    return found


def _perfect(record: StudyRecord, about: Mapping[str, Any]) -> list[str]:
    """A sentence if a perfect score ended the search before its last trial."""
    trial, planned = perfect_trial(record, about), about["config"].get("trials", 0)
    ended = sum(one.state not in ("waiting", "unfinished") for one in record.trials)
    if trial is None or ended >= planned:
        return []
    why = perfect_message(trial, about["config"]["metric"])
    return [f"the search ended after {ended} of {planned} trials: {why}"]


def _against_baselines(record: StudyRecord, row: Row) -> tuple[str, bool] | None:
    """Compare a trial with the best baseline: a sentence, and whether the trial is no better; None
    if there are no baselines.
    """
    found = baseline_rows(record)
    if not found:
        return None
    name, value = min(found, key=lambda one: record.direction.key(one[1]))
    ahead = record.direction.gain(row["metric"], value)
    side = "better" if ahead > 0 else "worse"
    than = f"{abs(ahead):.4f} {side} than" if ahead else "no better than"
    return f"trial {row['trial']} is {than} the best baseline, {name} ({value:.4f})", ahead <= 0
