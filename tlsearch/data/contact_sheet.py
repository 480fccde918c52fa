"""A contact sheet: an image with one row per class, its name and some of its pictures."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData

PICTURE_PX = 96
NAME_PX = 20
GAP_PX = 4
MOST_CLASSES = 200  # more would make the sheet too long to look at


def contact_sheet(data: ImageData, split: Split = "train", per_class: int = 8) -> Image.Image:
    """Draw decoded pictures of a split at 96 px, evenly chosen from the first 200 classes each."""
    classes = data.classes[:MOST_CLASSES]
    step_px, row_px = PICTURE_PX + GAP_PX, NAME_PX + PICTURE_PX + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + per_class * step_px, row_px * len(classes)), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    labels, images = data.split_labels(split), data.images(split)
    for index, name in enumerate(classes):
        rows = np.flatnonzero(labels == index)
        canvas.text((GAP_PX, index * row_px + 2), f"{name}: {len(rows)}", "black", font)
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, per_class).round().astype(np.int64))]
        for column, pixels in enumerate(images[chosen]):
            picture = Image.fromarray(pixels).resize((PICTURE_PX, PICTURE_PX))
            sheet.paste(picture, (GAP_PX + column * step_px, index * row_px + NAME_PX))
    return sheet
