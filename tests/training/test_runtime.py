import subprocess
import sys

import pytest

from tlsearch.training.executor import shared_executor
from tlsearch.training.runtime import forget, resident_bytes
from tlsearch.training.trial import train

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


def test_a_process_that_grew_forgets_and_trains_on(small_trial, digits, store):
    before = [r.validation_loss for r in train(small_trial(20), digits, store)]
    assert not forget(2**50)
    assert shared_executor.cache_info().currsize == 1
    assert forget(0)
    assert shared_executor.cache_info().currsize == 0
    again = [r.validation_loss for r in train(small_trial(20), digits, store)]
    assert before == again
    assert resident_bytes() > 100 * 2**20
