"""Networks of each kind in the formats of the catalogue: written, loaded and compared.

All families in all formats take minutes: `tests/benchmarks/exports.py` writes them. Here, ONNX
covers the smallest network of every kind of preprocessing and one with constants inside its layers,
and LiteRT covers the smallest of these. Small transformers are written in all formats, as is a
trained MobileNet in `test_exporter.py`.
"""

import numpy as np
import pytest
from random_networks import LABELS, PICTURES, smallest, written

from tlsearch.base.files import disk_error
from tlsearch.bundle.self_contained import require_self_contained
from tlsearch.config.catalog import BACKBONES, EXPORT_FORMATS
from tlsearch.training.export.formats import WRITERS, Exportable, write_format

pytestmark = pytest.mark.training

MAPS = [row for row in BACKBONES.values() if row.spec is None]
KINDS = [*smallest(MAPS, lambda row: row.preprocess), "efficientnet_b0"]
HERE = [("mobilenet_v3_small", "litert"), *((name, "onnx") for name in KINDS)]
# A ViT has the parts of all transformers but Swin; DINOv3 also rotates queries and keys.
PRESETS = [
    *(
        (name, form)
        for name in ("DINOV2Backbone", "SwinTransformerBackbone")
        for form in EXPORT_FORMATS
    ),
    *(("DINOV3Backbone gated", form) for form in ("keras", "litert", "onnx")),
    *(("MobileNetV5Backbone", form) for form in ("litert", "onnx")),
]


@pytest.mark.parametrize(("keras_hub", "form"), PRESETS)
def test_a_file_says_what_its_preset_says(keras_hub, form, preset, tmp_path):
    says_the_same(preset(keras_hub), form, tmp_path)


@pytest.mark.parametrize(("name", "form"), HERE)
def test_a_file_says_what_its_network_says(name, form, tmp_path):
    says_the_same(name, form, tmp_path)


def says_the_same(name, form, folder):
    found, expected = written(name, form, folder)
    require_self_contained(folder / EXPORT_FORMATS[form].file, EXPORT_FORMATS[form])
    assert found.shape == expected.shape == (PICTURES, len(LABELS))
    assert expected.std(axis=0).min() > 0.1  # the network separates the images
    agreement = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    if EXPORT_FORMATS[form].tolerance is None:
        assert agreement >= 0.5  # by chance, a third; random weights tolerate little error
    else:
        assert np.abs(found - expected).max() <= 1e-3  # random weights amplify the error
        assert agreement == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError("write failed, errno = 28, error message = 'No space left on device'"),
        RuntimeError("RESOURCE_EXHAUSTED: variables/variables.data: No space left on device"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_format(error, tmp_path, monkeypatch):
    def full(model, path):
        raise error

    monkeypatch.setitem(WRITERS, "keras", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_format("keras", Exportable(None, None, LABELS, np.empty(0)), tmp_path / "model.keras")
    assert disk_error(raised.value) is not None
    assert raised.value.filename == str(tmp_path / "model.keras")
