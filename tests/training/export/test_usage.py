"""The example code on a model card runs without tlsearch and prints what `predict` prints."""

import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from tlsearch.bundle.manifest import read_manifest
from tlsearch.bundle.predict import predict_files
from tlsearch.config.catalog import EXPORT_FORMATS

pytestmark = pytest.mark.training

BLOCK = re.compile(r"### (\w+)\n\n```python\n(.*?)```", re.DOTALL)
RUNNER = """
import contextlib, io, json, sys
printed = {}
for form, code in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, form, "exec"), {"__name__": "__main__"})
    printed[form] = out.getvalue()
assert not [name for name in sys.modules if name.partition(".")[0] == "tlsearch"]
print(json.dumps(printed))
"""


@pytest.fixture(scope="module")
def picture(folder, tmp_path_factory):
    """Write a photo that lies on its side and is upright only by its EXIF tag, as cameras do."""
    path = tmp_path_factory.mktemp("photo") / "side.png"
    upright = Image.open(folder / "green" / "00.png")
    lying = Image.new("RGB", upright.size, "red")
    lying.paste(upright.crop((0, 0, upright.width, upright.height // 3)))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(path, exif=exif)
    return path


def test_ten_lines_of_each_format_say_what_predict_says(bundle, picture):
    card = (bundle[1] / "model_card.md").read_text()
    codes = dict(BLOCK.findall(card))
    assert list(codes) == list(EXPORT_FORMATS)
    assert all(len([line for line in code.splitlines() if line]) <= 10 for code in codes.values())
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(picture)],
        cwd=bundle[1],
        input=json.dumps(codes),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for form, printed in json.loads(done.stdout.splitlines()[-1]).items():
        (found,) = predict_files(bundle[1], [picture], top=1, form=form)
        label, probability = printed.split()
        assert label == found.ranking[0][0]
        near = 5e-3 if "int8" in form else 1e-4  # `predict` scales steps of 1/256 to a sum of 1
        assert float(probability) == pytest.approx(found.ranking[0][1], abs=near)


def test_manifest_and_card_state_what_each_file_takes_and_the_test_score(bundle):
    manifest = read_manifest(bundle[1])
    taken = {one.format: one.input for one in manifest.artifacts}
    assert {form: one.dtype for form, one in taken.items()} == {
        form: "uint8" if form == "litert_int8" else "float32" for form in EXPORT_FORMATS
    }
    assert taken["onnx"].shape == (None, 32, 32, 3)
    assert taken["keras"].shape == (None, None, None, 3)
    assert {(one.low, one.high) for one in taken.values()} == {(0, 255)}
    assert "EXIF" in manifest.orientation
    assert (manifest.test.value, manifest.test.pictures) == (0.5, 18)
    card = (bundle[1] / "model_card.md").read_text()
    assert "| test accuracy, evaluated once | 0.5000 | 0.2500 to 0.7500 | 18 |" in card
    assert "| uint8, 0 to 255, (n, 32, 32, 3) |" in card
    assert "Rotate the picture according to its EXIF orientation." in card
    assert "Distinguishes 3 classes: " in card
    assert "Rows are true classes, columns are predicted classes." in card
    assert "because it was used to choose this model. The test score is not. Pretrained" in card
