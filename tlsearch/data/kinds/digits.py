"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 x 8 pixels."""

import numpy as np

from tlsearch.data.listing import Example, Listing

DIGITS = tuple(str(digit) for digit in range(10))


def list_digits() -> Listing:
    """List the digits as 8 x 8 x 3 images, their grey values 0 ... 16 scaled to 0 ... 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    examples = [Example(f"{i:04d}", int(label)) for i, label in enumerate(bunch.target)]
    return Listing(
        "scikit-learn digits",
        DIGITS,
        examples,
        lambda: (np.repeat(grey[:, :, None], 3, axis=2) for grey in pixels),
    )
