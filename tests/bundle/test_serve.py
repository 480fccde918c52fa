"""The service with a stand-in for the network alone: what is tested is what comes before it."""

import io
import struct
import zlib

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.bundle.serve import MAX_BYTES, build_app
from tlsearch.config.catalog import EXPORT_FORMATS


def brightness(images):
    """Dark or light, by the mean of the pixels."""
    light = images.reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([1 - light, light], axis=1)


@pytest.fixture(scope="module")
def client():
    model = OpenModel(("dark", "light"), EXPORT_FORMATS["onnx"], 8, brightness)
    return TestClient(build_app(model))


def encoded(shade, form="PNG", size=(30, 20), mode="RGB"):
    colour = shade if mode == "L" else (shade,) * len(mode)
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_picture_gets_its_labels(client, form):
    answer = client.post("/predict", content=encoded(230, form))
    assert answer.status_code == 200
    first, second = answer.json()["classes"]
    assert (first["label"], second["label"]) == ("light", "dark")
    assert first["probability"] == pytest.approx(230 / 255, abs=0.02)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_pictures_of_other_modes_too(client, mode):
    picture = Image.new("RGB", (9, 9), (5, 5, 5)).convert(mode)
    file = io.BytesIO()
    picture.save(file, "TIFF")
    answer = client.post("/predict", content=file.getvalue())
    assert answer.json()["classes"][0]["label"] == "dark"


@pytest.mark.parametrize(("bits", "light"), [({0: 12}, 1.0), (None, 15 / 255)])
def test_a_picture_of_sixteen_bits_is_seen_as_in_training(bits, light):
    model = OpenModel(("dark", "light"), EXPORT_FORMATS["onnx"], 8, brightness, bits=bits)
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(file, "PNG")
    answer = TestClient(build_app(model)).post("/predict?top=2", content=file.getvalue())
    found = {c["label"]: c["probability"] for c in answer.json()["classes"]}
    assert found["light"] == pytest.approx(light)


def test_top_limits_the_labels(client):
    answer = client.post("/predict?top=1", content=encoded(0))
    assert [c["label"] for c in answer.json()["classes"]] == ["dark"]


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def bomb():
    """A PNG of a few bytes that says it has 10^10 pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100))


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b"", 415, "not a picture"),
        (b"just text, no picture", 415, "not a picture"),
        (b"%PDF-1.4", 415, "not a picture"),
        (encoded(100, "JPEG", (64, 64))[:300], 415, "not a picture"),
        (encoded(100, "JPEG", (640, 640))[:-400], 422, "cannot be decoded"),
        (bomb(), 413, "too many pixels"),
        (b"\0" * (MAX_BYTES + 1), 413, "too large"),
    ],
    ids=["empty", "text", "pdf", "head of a jpeg", "truncated jpeg", "bomb", "large"],
)
def test_what_is_no_picture_is_a_clear_4xx(client, body, status, part):
    answer = client.post("/predict", content=body)
    assert answer.status_code == status
    assert part in answer.json()["error"]


def test_a_gigabyte_is_refused_before_it_is_read(client):
    answer = client.post(
        "/predict", content=b"x", headers={"content-length": str(2**30), "expect": ""}
    )
    assert answer.status_code == 413


def test_a_stream_that_says_no_length_is_cut_off(client):
    sent = []

    def endless():
        for _ in range(100):
            sent.append(1)
            yield b"\0" * 2**20

    answer = client.post("/predict", content=endless())
    assert answer.status_code == 413


def test_it_says_what_it_is(client):
    assert client.get("/health").json() == {"status": "ready"}
    assert client.get("/labels").json() == ["dark", "light"]


def test_a_picture_cannot_be_fetched_by_get(client):
    assert client.get("/predict").status_code == 405
