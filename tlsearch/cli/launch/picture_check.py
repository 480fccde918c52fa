"""Reading and summarizing the images of a search space before any trial."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.cli.output import print_line

if TYPE_CHECKING:
    from tlsearch.config.schema import SearchConfig


log = logging.getLogger(__name__)


def print_class_counts(config: "SearchConfig", samples: Path | None) -> None:
    """Print the number of images per class and split, and warn of small splits.

    `samples` is the file to write a contact sheet to.
    """
    import numpy as np

    from tlsearch.cli.live_display import show_phases
    from tlsearch.cli.tables import print_table
    from tlsearch.search.template import small_splits
    from tlsearch.search.trial.prepared_images import read_images

    with show_phases():
        data = read_images(config, lambda event: None)
    of_each = [
        np.bincount(data.split_labels(split), minlength=len(data.classes)) for split in data.splits
    ]
    body = [[name, *map(str, of)] for name, *of in zip(data.classes, *of_each, strict=True)]
    body.append(["all", *(str(count.sum()) for count in of_each)])
    print_table(["class", *data.splits], body)
    if data.unreadable:
        print_line(f"unreadable, left out: {len(data.unreadable)}")
        for picture in data.unreadable:
            print_line(f"  {picture}")
    for split, of in data.moved.items():
        named = ", ".join(f"{name} {count}" for name, count in of.items())
        print_line(f"moved to {split} to fill small classes: {sum(of.values())} ({named})")
    for line in small_splits({split: len(rows) for split, rows in data.splits.items()}):
        log.warning(line)
    if samples is not None:
        from tlsearch.base.files import atomic_file
        from tlsearch.data.contact_sheet import contact_sheet

        with atomic_file(samples, follow=True) as file:
            contact_sheet(data).save(file, "PNG")
        print_line(f"samples: {samples}")
