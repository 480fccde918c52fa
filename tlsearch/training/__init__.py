"""One trial: TensorFlow and Keras, which know neither Ray, nor Optuna, nor the journal."""

from tlsearch.bundle.quiet import import_tensorflow

import_tensorflow()
