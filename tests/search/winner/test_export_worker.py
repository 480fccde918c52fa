"""The GPUs that the exporting process sees."""

import os

import pytest

from tlsearch.search.winner.export_worker import Exporter

pytestmark = pytest.mark.training


def test_the_process_that_exports_and_those_it_begins_see_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    Exporter((), threads=1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
