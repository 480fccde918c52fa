"""Types of the arrays that packages exchange, by dtype; docstrings give the shapes."""

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]  # any dtype: stored or sent, never used in arithmetic
Pixels = NDArray[np.uint8]
Classes = NDArray[np.integer]  # (images,), the index of each image's class
Floats = NDArray[np.floating]  # activations or probabilities, 16, 32 or 64 bits
