"""The command that forecasts the cost of a search: plan."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tlsearch.cli.options import Set, Space
from tlsearch.cli.output import print_answer, print_line, print_text

if TYPE_CHECKING:
    from tlsearch.search.cost.plan import Plan
    from tlsearch.search.cost.survey import Survey


def plan(
    space: Space = "quickstart",
    set_: Set = None,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="The output format.")
    ] = "table",
) -> None:
    """Forecast the cost of a search: time, disk, memory, and the features that are cached.

    Measures the backbones on this machine for a few seconds, remembers the results, and assumes an
    empty feature cache. The times of past searches on this machine correct the forecast.
    """
    from tlsearch.cli.live_display import show_phases
    from tlsearch.config.load import load
    from tlsearch.search.cost.forecast import forecast

    config = load(space, set_ or [])
    with show_phases():
        seen, made = forecast(config)
    if format_ == "json":
        plain = {"study": config.name, "data": dataclasses.asdict(seen)}
        features = [kept.to_json() for kept in made.features]
        planned = {**dataclasses.asdict(made), "features": features}
        print_answer(json.dumps({**plain, "plan": planned}, indent=2) + "\n")
    else:
        show_plan(config.name, seen, made)


def show_plan(name: str, seen: "Survey", made: "Plan") -> None:
    """Print the expected cost of a search."""
    from tlsearch.results.live.progress import format_duration
    from tlsearch.results.live.span import Span
    from tlsearch.results.report.forecast_line import format_bytes

    images = ", ".join(f"{count} {split}" for split, count in seen.images.items())
    print_text(f"{name}: {made.trials} trials, {made.slots} at a time; images: {images}\n\n")
    _show_rungs(made)
    _show_seconds(made)
    _show_features(made)
    end = "until the time budget ends the trials" if made.out_of_time else "to the last trial's end"
    trials_s = format_duration(made.seconds.decode + made.wall_s)
    print_line(f"time    {Span.around(made.whole_s)}: {trials_s} {end},")
    confirm, export = format_duration(made.confirm_s), format_duration(made.export_s)
    print_line(f"        {confirm} to confirm and {export} to export the winner")
    print_line(f"disk    {format_bytes(made.image_bytes)} of decoded images")
    features, weights = format_bytes(made.feature_bytes), format_bytes(made.study_bytes)
    print_line(f"        {features} of features, {weights} of weights")
    print_line(f"device  {made.device}")
    print_line(f"memory  about {format_bytes(made.slot_bytes)} a slot, {made.slots} slots")
    print_line(
        f"        after the trials at most about {format_bytes(made.after_bytes)} in one process"
    )


def _show_rungs(made: "Plan") -> None:
    from tlsearch.cli.tables import print_table

    if made.rungs:
        body = [[str(rung.epoch), f"{rung.trials:.1f}"] for rung in made.rungs]
        print_table(["rung", "trials expected"], body)
        print_text("rung: an epoch at which trials are compared; the worse ones stop there\n")
    print_text(f"{made.epochs:.0f} epochs in all\n\n")


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
    print_text("the last three are shared by the slots; each slot trains one trial at a time\n")
    print_text("frozen prefix: the layers before those that train, which never change\n\n")


def _show_features(made: "Plan") -> None:
    from tlsearch.cli.tables import print_table
    from tlsearch.config.spelling import file_name
    from tlsearch.results.report.forecast_line import format_bytes

    body = [
        [
            file_name(k.backbone),
            str(k.depth.label),
            k.cut_name,
            format_bytes(k.bytes),
            k.choice,
            k.why,
        ]
        for k in made.features
    ]
    print_table(["backbone", "unfrozen", "cut", "size", "store", "because"], body)
    print_text("cut: the frozen prefix's last layer; pool is the end of a frozen backbone\n")
    print_text("store: kept = computed once and stored on disk; unused = no trial reads it;\n")
    print_text("recomputed = computed in every epoch; images = no layer before the cut is frozen\n")
    views = made.features[0].views
    print_text(
        f"{views} view{'s'[: views - 1]} of the training images, and the validation images\n\n"
    )


COMMANDS = (plan,)
