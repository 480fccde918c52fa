"""Commands about trained models: export, predict, pretrain."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tlsearch.cli.options import StudyDir


def export(
    directory: StudyDir,
    out: Annotated[Path, typer.Option(metavar="PATH", help="The file to write, *.keras.")],
    trial: Annotated[
        int | None, typer.Option(metavar="N", help="A trial's number. [default: the best]")
    ] = None,
) -> None:
    """Write a trial's trained model as one verified .keras file."""
    from tlsearch.search.study import Study, export

    report = export(Study(directory), out, trial)
    print(f"{out}: validation {report.validation:.4f}, parity {report.parity:.1e}")


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported .keras file.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Files and folders.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes an image.")] = 1,
    format: Annotated[
        Literal["table", "csv", "json"], typer.Option(help="How to print.")
    ] = "table",
) -> None:
    """Label images with an exported model; unreadable ones are reported, the rest goes on."""
    from tlsearch.cli.predictions import print_predictions
    from tlsearch.training.predict import predict_files

    failed = print_predictions(predict_files(model, images, top), format)
    raise typer.Exit(3 if failed else 0)


def pretrain(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="strokes, an image folder, or a TFDS name.")
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="The file to write, *.weights.h5.")],
    image_px: Annotated[int, typer.Option(min=32, help="Size of the source images.")] = 48,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of drawing, order and start.")] = 0,
) -> None:
    """Pretrain a small backbone, as the shipped weights were made."""
    from tlsearch.training.pretrain import pretrain as train
    from tlsearch.training.source_task import load_source

    task = load_source(source, image_px, seed)
    for epoch in train(
        task.images, task.labels, epochs=epochs, seed=seed, out=out, mirror=task.mirror
    ):
        print(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, held-out accuracy {epoch.accuracy:.4f}")
    print(out)


COMMANDS = (export, predict, pretrain)
