"""Python snippets for the model card that use each exported file without tlsearch."""

from tlsearch.bundle.manifest import Artifact, Manifest

_ABOUT = """\
## Use without tlsearch

Rotate the picture according to its EXIF orientation. Read it as RGB, 0 to 255. Do not scale or
normalise the values; the model does that. If a file takes squares of {px} pixels, resize the
picture to one without keeping its proportions (bilinear, antialiased). The table above gives the
dtype of each file. Probabilities come in the order of `labels.json`.{deep} Run the code in this
folder, with the path of a picture as its argument."""

_DEEP = """ The code reads 8-bit
pictures; 16-bit pictures were scaled as `bits` in `manifest.json` says."""

# Image file -> `batch`, (1, height, width, 3); the same lines for every format.
_READ = """\
import json, sys
import numpy as np
from PIL import Image, ImageOps
{imports}

picture = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB"){resize}
batch = np.asarray(picture, np.{dtype})[None]
{run}
print(json.load(open("labels.json"))[found.argmax()], found.max())"""

_RESIZE = ".resize(({px}, {px}), Image.Resampling.BILINEAR)"

_LITERT = (
    "from ai_edge_litert.interpreter import Interpreter  # pip install ai-edge-litert",
    """\
model = Interpreter("{file}").get_signature_runner()
found = model(image=batch)["probabilities"][0]""",
)
# Format -> its import, and the lines that turn `batch` into `found`, (classes,).
_RUNS = {
    "keras": (
        "import keras  # pip install tensorflow",
        """\
model = keras.models.load_model("{file}", compile=False)
found = np.asarray(model(batch, training=False))[0]""",
    ),
    "saved_model": (
        "import tensorflow as tf  # pip install tensorflow",
        """\
model = tf.saved_model.load("{file}").signatures["serving_default"]
found = model(image=tf.constant(batch))["probabilities"].numpy()[0]""",
    ),
    "litert": _LITERT,
    "litert_float16": _LITERT,
    "litert_int8": _LITERT,
    "onnx": (
        "import onnxruntime  # pip install onnxruntime",
        """\
model = onnxruntime.InferenceSession("{file}")
found = model.run(["probabilities"], {{"image": batch}})[0][0]""",
    ),
}


def usage(manifest: Manifest) -> str:
    """Return the section of the card: the preprocessing for all files, then a short program per
    format.
    """
    deep = _DEEP if set((manifest.bits or {}).values()) - {16} else ""
    about = _ABOUT.format(px=manifest.image_px, deep=deep)
    codes = [
        f"### {one.format}\n\n```python\n{usage_code(one, manifest.image_px)}\n```"
        for one in manifest.artifacts
    ]
    return "\n\n".join((about, *codes))


def usage_code(artifact: Artifact, image_px: int) -> str:
    """Return a program that prints the label of an image and its probability."""
    imports, run = _RUNS[artifact.format]
    resize = "" if artifact.row.any_size else _RESIZE.format(px=image_px)
    return _READ.format(
        imports=imports,
        resize=resize,
        dtype=artifact.row.dtype,
        run=run.format(file=artifact.path),
    )
