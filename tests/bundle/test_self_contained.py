"""Model files from a third party: a runtime is given only files that can do no harm."""

import importlib
import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from tlsearch.base.errors import RecordError
from tlsearch.bundle.open_bundle import open_model
from tlsearch.bundle.self_contained import require_self_contained
from tlsearch.config.catalog import EXPORT_FORMATS


def layer(name="Dense", module="keras.layers", **more):
    return {"module": module, "class_name": name, "registered_name": None, "config": {}, **more}


def weights(write=lambda file: None):
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3)
        write(file)
    return held.getvalue()


def keras_file(path, config=None, members=None, compression=zipfile.ZIP_STORED):
    held = {
        "metadata.json": "{}",
        "config.json": json.dumps(config or {"layers": [layer()]}),
        "model.weights.h5": weights(),
        "labels.json": "[]",
        **(members or {}),
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return path


KERAS = EXPORT_FORMATS["keras"]


def test_a_keras_file_of_plain_layers_is_let_pass(tmp_path):
    require_self_contained(keras_file(tmp_path / "model.keras"), KERAS)


@pytest.mark.parametrize(
    "one",
    [
        layer("Lambda"),
        layer("TFSMLayer"),
        layer("TorchModuleWrapper", "keras.layers"),
        layer("StringLookup"),
        layer("get_file", "keras.utils"),
        layer("function", "builtins"),
        layer("system", "os"),
        layer("Mine", "my_package", registered_name="my_package>Mine"),
        layer("Dense", registered_name="my_package>Dense"),
        {"class_name": "__lambda__", "config": {"value": "x"}},
    ],
    ids=lambda one: one["class_name"],
)
def test_a_keras_file_of_anything_else_is_refused(tmp_path, one):
    nested = {"layers": [layer("TimeDistributed") | {"config": {"layer": one}}, one]}
    path = keras_file(tmp_path / "model.keras", nested["layers"][1] | {"config": {"deep": [one]}})
    with pytest.raises(RecordError, match="expected only Keras layers"):
        require_self_contained(path, KERAS)
    path = keras_file(tmp_path / "model.keras", {"layers": [layer() | {"config": {"x": [one]}}]})
    with pytest.raises(RecordError, match="expected only Keras layers"):
        require_self_contained(path, KERAS)


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "assets/vocabulary.txt", "x.npz"])
def test_a_keras_file_holds_nothing_but_its_own_members(tmp_path, name):
    path = keras_file(tmp_path / "model.keras", members={name: "x"})
    with pytest.raises(RecordError, match="does not belong in a model"):
        require_self_contained(path, KERAS)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_keras_file_holds_each_member_once(tmp_path):
    path = keras_file(tmp_path / "model.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(RecordError, match="twice"):
        require_self_contained(path, KERAS)


def test_a_compressed_keras_file_is_refused_before_it_is_unpacked(tmp_path):
    path = keras_file(tmp_path / "model.keras", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(
        RecordError, match="its ZIP members are compressed, expected uncompressed ones"
    ):
        require_self_contained(path, KERAS)


def test_a_keras_file_by_another_name_reaches_no_older_loader(tmp_path):
    with pytest.raises(RecordError, match=r"expected a file named \*\.keras"):
        require_self_contained(keras_file(tmp_path / "model.h5"), KERAS)


def external(file):
    file.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize(
    "write",
    [
        external,
        virtual,
        lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "x")),
        lambda file: file.__setitem__("layers/dense/x", h5py.SoftLink("/x")),
    ],
)
def test_weights_that_lie_in_another_file_are_refused(tmp_path, write):
    path = keras_file(tmp_path / "model.keras", members={"model.weights.h5": weights(write)})
    with pytest.raises(RecordError, match=r"its weights link to data outside the file \('x'\)"):
        require_self_contained(path, KERAS)


def onnx_file(path, change=lambda onnx, model: None):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(np.zeros((3, 2), np.float32), "w")
    pin, pout = (
        onnx.helper.make_tensor_value_info(name, 1, (None, n)) for name, n in (("x", 3), ("y", 2))
    )
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [pin], [pout], [tensor]))
    change(onnx, model)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_onnx_file_of_standard_operators_is_let_pass(tmp_path):
    require_self_contained(onnx_file(tmp_path / "model.onnx"), EXPORT_FORMATS["onnx"])


@pytest.mark.parametrize("where", ["../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_onnx_weights_in_another_file_are_refused(tmp_path, where):
    def move(onnx, model):
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], where)
        model.graph.initializer[0].ClearField("raw_data")

    path = onnx_file(tmp_path / "model.onnx", move)
    with pytest.raises(RecordError, match="its weights are in another file"):
        require_self_contained(path, EXPORT_FORMATS["onnx"])


def test_onnx_operators_of_others_are_refused(tmp_path):
    def alter(onnx, model):
        model.graph.node[0].domain = "com.microsoft"

    path = onnx_file(tmp_path / "model.onnx", alter)
    with pytest.raises(RecordError, match=r"com\.microsoft"):
        require_self_contained(path, EXPORT_FORMATS["onnx"])


@pytest.mark.parametrize("form", ["keras", "onnx", "litert"])
def test_bytes_of_no_kind_are_refused_in_one_line(tmp_path, form):
    path = tmp_path / EXPORT_FORMATS[form].file
    for data in (b"\0" * 100, b"no model"):
        path.write_bytes(data)
        with pytest.raises(RecordError) as caught:
            require_self_contained(path, EXPORT_FORMATS[form])
        assert len(str(caught.value).splitlines()) == 1


def litert_file(path, custom=None):
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    flatbuffers = importlib.import_module("flatbuffers")
    model, code, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    code.customCode = custom
    code.builtinCode = 32 if custom else 0
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_litert_operators_of_tensorflow_are_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    form = EXPORT_FORMATS["litert"]
    require_self_contained(litert_file(tmp_path / "model.tflite"), form)
    with pytest.raises(RecordError, match="FlexReadFile"):
        require_self_contained(litert_file(tmp_path / "model.tflite", b"FlexReadFile"), form)


@pytest.mark.parametrize("labels", ["[" * 10**5, "{}", "[1, 2]", '["a", "a"]', "[]"])
def test_a_lone_file_with_odd_labels_is_refused(tmp_path, loaded, labels):
    path = keras_file(tmp_path / "model.keras", members={"labels.json": labels})
    with pytest.raises(RecordError, match="not a model exported by tlsearch"):
        open_model(path)
    assert loaded == []
