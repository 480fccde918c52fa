"""One trial: TensorFlow and Keras, which know neither Ray, nor Optuna, nor the journal."""

from tlsearch.bundle.quiet_tensorflow import import_tensorflow

import_tensorflow()
