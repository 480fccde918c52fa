"""One trial: TensorFlow and Keras, which know neither Ray, nor Optuna, nor the journal."""

from tlsearch.training import quiet as quiet
