"""One trial, trained with TensorFlow and Keras; imports neither Ray, Optuna nor the journal."""

from tlsearch.bundle.quiet_tensorflow import import_tensorflow

import_tensorflow()
