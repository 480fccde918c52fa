"""The arrays that pass between rooms, by the type of their numbers; docstrings give the shapes."""

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]  # numbers of any type: stored or sent, never computed with
Pixels = NDArray[np.uint8]
Classes = NDArray[np.integer]  # (images,), the place of a class in the data's order
Floats = NDArray[np.floating]  # activations or probabilities, in 16, 32 or 64 bits
