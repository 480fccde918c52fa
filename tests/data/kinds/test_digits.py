"""The digits that come with scikit-learn: their number and their pixels."""

import numpy as np

from tlsearch.data.kinds.digits import list_digits


def test_the_digits_are_those_of_scikit_learn() -> None:
    listing = list_digits()
    pictures = np.stack(list(listing.pictures()))
    assert (len(listing.examples), pictures.shape) == (1797, (1797, 8, 8, 3))
    assert (pictures.dtype, pictures.min(), pictures.max()) == (np.uint8, 0, 255)
    assert (pictures == pictures[..., :1]).all()
    assert listing.classes == tuple("0123456789")
    assert [example.label for example in listing.examples[:11]] == [*range(10), 0]


def test_keys_are_in_order_and_each_is_one_digit() -> None:
    keys = [example.key for example in list_digits().examples]
    assert keys == sorted(set(keys))
