"""The names of entries in caches: a changed name would cause everything to be computed again."""

from tlsearch.config.device import CPU_PROFILE
from tlsearch.config.load import parse
from tlsearch.data.decode import listing_key
from tlsearch.data.kinds.digits import list_digits
from tlsearch.features import FeatureKey
from tlsearch.search.cost import calibration

SPACE = """
data: {kind: digits, image_px: 48}
space: {backbone: [strokes, photos], unfrozen_layers: [0, 40], fine_tune_lr: 1e-4}
"""


def test_features():
    clean = FeatureKey("w", "pool", "tf", 48, "float16", "i")
    assert clean.name == "b0202932c8e178a4a0855ce3a6c217cd"
    assert (
        FeatureKey("w", "block_14_add", "tf", 48, "float16", "i", "3").name
        == "b345b354c86a2a4a5229d1bdc904c411"
    )


def test_images():
    assert listing_key(list_digits(), 48) == "bf052daa77657ab9f370ef083ae6e349"


def test_calibrations(monkeypatch):
    monkeypatch.setattr(calibration, "package_versions", lambda: {"tensorflow": "2.21.0"})
    monkeypatch.setattr(calibration, "cpu_name", lambda: "a processor")
    monkeypatch.setattr(calibration, "granted_cores", lambda: 2)
    assert (
        calibration._key(parse(SPACE, "space.yaml"), "strokes", 10, CPU_PROFILE, slots=2)
        == "strokes 48 px b643316a16e8dba7"
    )
