import subprocess
import sys

import pytest

pytestmark = pytest.mark.training

COUNT = """
import os
from tlsearch.training.runtime import limit_threads
limit_threads(1)
limit_threads(1)
import tensorflow as tf
tf.linalg.matmul(tf.ones((900, 900)), tf.ones((900, 900)))
print(tf.config.threading.get_intra_op_parallelism_threads())
print(tf.config.threading.get_inter_op_parallelism_threads())
"""


def test_tensorflow_keeps_to_the_threads_it_was_granted():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
