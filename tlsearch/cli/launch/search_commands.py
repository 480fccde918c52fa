"""Commands that start or prepare a search: run, resume, validate, init, backbones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tlsearch.cli.options import Json, Quiet, Set, Space, StudyDir, require_local_path
from tlsearch.cli.output import print_answer, print_line

if TYPE_CHECKING:
    from tlsearch.search.handle import Study


Address = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT",
        help="Join the Ray cluster that this machine belongs to. From other machines, use "
        "`tlsearch submit`.",
    ),
]


def run(
    space: Space = "quickstart",
    study: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="The study directory or its URL. [default: STORAGE/NAME]"),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="The number of trials.")] = None,
    set_: Set = None,
    address: Address = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run a search and print the ranked trials.

    The ranked trials go to stdout when the search ends. Until then stderr shows its progress: on a
    terminal a live table, otherwise one line per event and at least one every two seconds.
    """
    from tlsearch.cli.live_display import live_listener
    from tlsearch.config.load import load
    from tlsearch.config.location import as_location
    from tlsearch.search.cluster.address import join
    from tlsearch.search.study import run as run_search

    join(address)
    settings = [*(set_ or []), *([] if trials is None else [f"trials={trials}"])]
    with live_listener(quiet, json) as listen:
        location = None if study is None else as_location(study)
        done = run_search(load(space, settings), location, listen)
    print_result(done)


def resume(
    directory: StudyDir,
    trials: Annotated[
        str | None,
        typer.Option(metavar="N|+N", help="The total number of trials, or +N for N more."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The time budget in total, or +10m to extend it."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one key, e.g. space.backbone=[strokes, photos]. Repeatable.",
        ),
    ] = None,
    address: Address = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Continue a study that was interrupted or killed, or extend one.

    `--trials`, `--time` and `--set` extend a study, finished or not: space, trials, confirm,
    time_budget, scheduler, prior, resources, export, cache, cache_gb, tensorboard and sync_s can be
    changed. Settings that would make old and new trials incomparable cannot.
    """
    from tlsearch.cli.live_display import live_listener
    from tlsearch.config.location import as_location
    from tlsearch.search.cluster.address import join
    from tlsearch.search.study import resume as resume_search

    join(address)
    with live_listener(quiet, json) as listen:
        done = resume_search(
            as_location(directory), listen, trials=trials, time=time, settings=set_ or ()
        )
    print_result(done)


def validate(
    space: Space,
    set_: Set = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Read the images and print the size of each class instead."),
    ] = False,
    samples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=require_local_path,
            help="Like --data, and draw pictures of each class into a PNG.",
        ),
    ] = None,
) -> None:
    """Check a search space and print it as it would run.

    Also checks that this machine has the packages and the memory that it needs.
    """
    from tlsearch.cli.launch.picture_check import print_class_counts
    from tlsearch.config.load import dump
    from tlsearch.config.requirements import warn_before_search
    from tlsearch.search.requested import validate as validated

    config = validated(space, set_ or [])
    warn_before_search(config)
    if data or samples is not None:
        print_class_counts(config, samples)
    else:
        print_answer(dump(config))


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            callback=require_local_path,
            help="A folder with one folder per class.",
        ),
    ],
) -> None:
    """Print a search space for your own images."""
    from tlsearch.search.template import template

    print_answer(template(folder))


def backbones(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A backbone, to list where it can be cut."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this family, e.g. convnext.")
    ] = None,
    max_params: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="Maximum parameters, in millions.")
    ] = None,
    max_gmacs: Annotated[
        float | None, typer.Option(min=0, metavar="G", help="Maximum multiply-adds, in billions.")
    ] = None,
    format: Annotated[Literal["table", "json"], typer.Option(help="The output format.")] = "table",
) -> None:
    """List the backbones of the catalogue, or the cuts of one backbone.

    `px` is the image size that a backbone was made for, `min` the smallest. GMACs are billions of
    multiply-adds for one image of `px`. `params` excludes the top. GB is the least memory that
    trains the whole network on 32 images of `px` at a time. `top-1` is the published accuracy on
    ImageNet (`--format json` gives the source); if there is none, the weights were pretrained on
    other data and ship with tlsearch. `input` is the preprocessing that comes with a backbone: tf
    (-1 to 1), caffe and torch (by ImageNet's mean), unit (0 to 1), or inside the network. With a
    NAME: the layers after which the backbone can be cut. For each cut: the largest number of
    unfrozen layers and of blocks that it serves, the values stored per image, and the multiply-adds
    after it, which every epoch computes.
    """
    from tlsearch.cli.launch.backbone_table import print_backbones, print_cuts, select_backbones

    if name is None:
        print_backbones(select_backbones(family, max_params, max_gmacs), format)
    else:
        print_cuts(name, format)


def print_result(study: "Study") -> None:
    """Print the result of a search, then raise the error that ended it early, if there is one."""
    from tlsearch.cli.read.study_tables import show

    home = study.home
    show(home)
    print_line(f"report: {home.shown(home.report)}")
    model = study.model_path()
    if model is not None:
        print_line(f"model:  {home.shown(model)}")
    if study.ended_by is not None:
        raise study.ended_by


COMMANDS = (run, resume, validate, init, backbones)
