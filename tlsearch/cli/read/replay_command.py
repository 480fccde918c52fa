"""The command that trains a recorded trial again: replay."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tlsearch.cli.options import StudyDir
from tlsearch.cli.output import print_answer, print_line, print_text

if TYPE_CHECKING:
    from tlsearch.search.replay import EpochPair, Replay


def replay(
    directory: StudyDir,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The number of a trial.")],
    format: Annotated[Literal["table", "json"], typer.Option(help="The output format.")] = "table",
) -> None:
    """Train one trial of a study again and compare it with its record.

    On the same CPU model and versions every bit must be equal. Otherwise the metric may differ by a
    tolerance, and the differences in versions and machine are listed. Exits with 1 if the trial
    does not match. The study's record does not change.
    """
    import json

    from tlsearch.cli.live_display import show_phases
    from tlsearch.config.location import as_location
    from tlsearch.search.handle import Study
    from tlsearch.search.replay import replay

    def heard(pair: "EpochPair") -> None:
        print_line(f"epoch {pair.epoch}: {_apart(pair)}", err=True)

    with show_phases():
        done = replay(Study(as_location(directory)), trial, heard)
    if format == "json":
        print_answer(json.dumps(as_json(done), indent=2) + "\n")
    else:
        _print(done)
    raise typer.Exit(0 if done.matched else 1)


def _print(done: "Replay") -> None:
    from tlsearch.cli.tables import print_table

    columns = ["epoch", f"{done.metric} recorded", "replayed", "largest difference"]
    body = [
        [str(pair.epoch), _format_value(pair.recorded), _format_value(pair.replayed), _apart(pair)]
        for pair in done.epochs
    ]
    print_table(columns, body)
    for name, (then, now) in done.differs.items():
        print_line(f"{name}: was {then or 'not recorded'}, is {now or 'missing'}")
    then, now = done.ended
    if then or now:
        print_line(f"recorded: {then or 'went on'}; replayed: {now or 'went on'}")
    print_text(done.failure)
    print_line(verdict(done))


def verdict(done: "Replay") -> str:
    """Return one line that says whether the trial matched."""
    if done.equal:
        return f"trial {done.trial} matched: all {len(done.epochs)} epochs equal to the last bit"
    if done.exact:
        why = "the machine and versions are the same, but the values differ"
        return f"trial {done.trial} did not match: {why}"
    how = "matched within" if done.matched else "did not match, even within"
    return f"trial {done.trial} {how} {done.tolerance:.4g} in {done.metric}"


def as_json(done: "Replay") -> dict[str, object]:
    """Return a replay as plain values; a difference that is not finite becomes None."""
    return {
        "trial": done.trial,
        "state": done.state,
        "metric": done.metric,
        "matched": done.matched,
        "equal": done.equal,
        "exact": done.exact,
        "tolerance": done.tolerance,
        "difference": _finite(done.difference),
        "threads": done.threads,
        "ended": {"recorded": done.ended[0], "replayed": done.ended[1]},
        "failure": done.failure,
        "differs": {name: {"recorded": a, "now": b} for name, (a, b) in done.differs.items()},
        "epochs": [
            {
                "epoch": pair.epoch,
                "recorded": dict(pair.recorded),
                "replayed": dict(pair.replayed),
                "difference": _finite(pair.difference),
            }
            for pair in done.epochs
        ],
    }


def _apart(pair: "EpochPair") -> str:
    return f"{pair.difference:.2g}" if pair.difference else "equal"


def _format_value(numbers: Any) -> str:
    return "-" if numbers["value"] is None else f"{numbers['value']:.4f}"


def _finite(difference: float) -> float | None:
    return difference if math.isfinite(difference) else None


COMMANDS = (replay,)
