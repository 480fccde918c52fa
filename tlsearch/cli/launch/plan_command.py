"""The command that forecasts the cost of a search: plan."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tlsearch.cli.options import Set, Space
from tlsearch.cli.say import answer, say, tell

if TYPE_CHECKING:
    from tlsearch.search.cost.plan import Plan, Survey


def plan(
    space: Space = "quickstart",
    set_: Set = None,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="The output format.")
    ] = "table",
) -> None:
    """Forecast the cost of a search: time, disk, memory, and what the cache keeps.

    Measures the backbones on this machine for a few seconds, remembers the results, and assumes an
    empty feature cache. The times of past searches on this machine correct the forecast.
    """
    from tlsearch.cli.live_display import progressing
    from tlsearch.config.load import load
    from tlsearch.search.cost.forecast import forecast

    config = load(space, set_ or [])
    with progressing():
        seen, made = forecast(config)
    if format_ == "json":
        plain = {"study": config.name, "data": dataclasses.asdict(seen)}
        features = [kept.to_json() for kept in made.features]
        planned = {**dataclasses.asdict(made), "features": features}
        answer(json.dumps({**plain, "plan": planned}, indent=2) + "\n")
    else:
        _show(config.name, seen, made)


def _show(name: str, seen: "Survey", made: "Plan") -> None:
    from tlsearch.results.live.events import Span
    from tlsearch.results.live.progress import span
    from tlsearch.results.report.forecast_line import size

    images = ", ".join(f"{count} {split}" for split, count in seen.images.items())
    tell(f"{name}: {made.trials} trials, {made.slots} at a time; images: {images}\n\n")
    _show_rungs(made)
    _show_seconds(made)
    _show_features(made)
    end = ", where the time budget ends it" if made.out_of_time else ""
    trials_s = span(made.seconds.decode + made.wall_s)
    say(f"time    {Span.around(made.whole_s)}: {trials_s} to the last trial's end{end},")
    say(f"        {span(made.confirm_s)} to confirm and {span(made.export_s)} to export the winner")
    say(f"disk    {size(made.image_bytes)} of decoded images")
    say(f"        {size(made.feature_bytes)} of features, {size(made.study_bytes)} of weights")
    say(f"device  {made.device}")
    say(f"memory  about {size(made.slot_bytes)} a slot, {made.slots} slots")
    say(f"        after the trials at most about {size(made.after_bytes)} in one process")


def _show_rungs(made: "Plan") -> None:
    from tlsearch.cli.tables import print_table

    if made.rungs:
        body = [[str(rung.epoch), f"{rung.trials:.1f}"] for rung in made.rungs]
        print_table(["rung", "trials expected"], body)
        tell("rung: an epoch at which trials are compared; those behind end there\n")
    tell(f"{made.epochs:.0f} epochs in all\n\n")


def _show_seconds(made: "Plan") -> None:
    from tlsearch.cli.tables import print_table

    seconds = made.seconds
    body = [
        ["decoding the images", f"{seconds.decode:.1f}"],
        ["starting processes", f"{seconds.start:.1f}"],
        ["frozen prefixes, once for all trials", f"{seconds.prefixes:.1f}"],
        ["compiling", f"{seconds.tracing:.1f}"],
        ["training", f"{seconds.training:.1f}"],
    ]
    print_table(["what takes time", "seconds"], body)
    tell("the last three are shared by the slots; each slot trains one trial at a time\n")
    tell("frozen prefix: the layers before those that train, which never change\n\n")


def _show_features(made: "Plan") -> None:
    from tlsearch.cli.tables import print_table
    from tlsearch.config.spelling import file_name
    from tlsearch.results.report.forecast_line import size

    body = [
        [file_name(k.backbone), str(k.depth.label), k.cut_name, size(k.bytes), k.choice, k.why]
        for k in made.features
    ]
    print_table(["backbone", "unfrozen", "cut", "size", "store", "because"], body)
    tell("cut: the frozen prefix's last layer; pool is the end of a frozen backbone\n")
    tell("store: whether its output is kept on disk, or computed again in every epoch\n")
    views = made.features[0].views
    tell(f"{views} view{'s'[: views - 1]} of the training images, and the validation images\n\n")


COMMANDS = (plan,)
