"""Commands about trained models: export, predict, evaluate, serve, pretrain."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tlsearch.cli.options import Json, Quiet, StudyDir, require_local_path, require_local_paths
from tlsearch.cli.output import print_answer, print_line

Bundle = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE", callback=require_local_path, help="A bundle, or a model file of one."
    ),
]
Artifact = Annotated[
    str | None,
    typer.Option(
        "--artifact",
        metavar="FORMAT",
        help="The format of the file to open. [default: the first that is not a SavedModel, since "
        "a SavedModel is a program]",
    ),
]
Verify = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Refuse a file that changed since its export.")
]


def export(
    directory: StudyDir,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            callback=require_local_path,
            help="The bundle's folder, or one file *.keras.",
        ),
    ],
    trial: Annotated[
        str,
        typer.Option(metavar="best|N", help="The winner (best), or the number of a trial."),
    ] = "best",
    formats: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Comma-separated; `tlsearch help model` describes the formats."
        ),
    ] = "keras",
    timed: Annotated[
        bool, typer.Option("--timed/--no-timed", help="Measure the latency of every file.")
    ] = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Export a trial's trained model in one or more formats; each file is reloaded and compared.

    A format that fails is left out and named, and the exit code is 4. Until the export ends, stderr
    shows its progress, as for `run`.
    """
    from tlsearch.bundle.manifest import incomplete_error
    from tlsearch.cli.live_display import show_phases
    from tlsearch.cli.models.bundle_tables import parse_formats, parse_trial, print_manifest
    from tlsearch.config.location import as_location
    from tlsearch.search.handle import Study, export

    chosen, number = parse_formats(formats), parse_trial(trial)
    with show_phases(quiet, json):
        study = Study(as_location(directory))
        manifest = export(study, out, number, chosen, timed and out.suffix != ".keras")
    print_manifest(manifest)
    print_line(str(out))
    error = incomplete_error(manifest.left_out)
    if error is not None:
        raise error


def predict(
    bundle: Bundle,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES", callback=require_local_paths, help="Files and folders."),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show per image.")] = 1,
    format: Annotated[
        Literal["table", "csv", "json"], typer.Option(help="The output format.")
    ] = "table",
    artifact: Artifact = None,
    verify: Verify = True,
) -> None:
    """Label images with an exported model; unreadable images are reported and skipped."""
    from tlsearch.bundle.predict import image_files, predict_files
    from tlsearch.cli.models.prediction_tables import print_predictions

    files = list(image_files(images))
    found = predict_files(bundle, files, top, artifact, verify)
    raise typer.Exit(3 if print_predictions(found, format, len(files)) else 0)


def evaluate(
    bundle: Bundle,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", callback=require_local_path, help="A folder with one folder per class."
        ),
    ],
    format: Annotated[Literal["table", "json"], typer.Option(help="The output format.")] = "table",
    artifact: Artifact = None,
    verify: Verify = True,
) -> None:
    """Evaluate an exported model on labelled images."""
    import json

    from tlsearch.bundle.evaluate import evaluate
    from tlsearch.cli.live_display import show_phases
    from tlsearch.cli.models.bundle_tables import print_evaluation

    with show_phases():
        found = evaluate(bundle, data, artifact, verify)
    if format == "json":
        print_answer(json.dumps(found.to_json(), indent=2) + "\n")
    else:
        print_evaluation(found)


def serve(
    bundle: Bundle,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    artifact: Artifact = None,
    verify: Verify = True,
) -> None:
    """Serve a model over HTTP: POST /predict returns the labels of the image in the body."""
    from tlsearch.bundle.serve import serve

    serve(bundle, host, port, verify, artifact)


def pretrain(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="strokes, an image folder, or a TFDS name.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH", callback=require_local_path, help="The file to write, *.weights.h5."
        ),
    ],
    image_px: Annotated[int, typer.Option(min=32, help="Size of the source images.")] = 48,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 10,
    seed: Annotated[
        int, typer.Option(min=0, help="The seed of drawing, order and initial weights.")
    ] = 0,
) -> None:
    """Pretrain a small backbone, in the way the shipped weights were made."""
    from tlsearch.training.pretraining.pretrain import pretrain as train
    from tlsearch.training.pretraining.source_task import load_source

    task = load_source(source, image_px, seed)
    for epoch in train(
        task.images, task.labels, epochs=epochs, seed=seed, out=out, mirror=task.mirror
    ):
        print_line(
            f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, held-out accuracy {epoch.accuracy:.4f}"
        )
    print_line(str(out))


COMMANDS = (export, predict, evaluate, serve, pretrain)
