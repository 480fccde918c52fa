"""The service with a stand-in for the network, to test all that happens before inference."""

import io
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from fastapi.testclient import TestClient
from odd_pictures import odd_exifs, png, with_exif
from PIL import Image

from tlsearch.base.errors import ConfigError
from tlsearch.bundle import connections, serve
from tlsearch.bundle.connections import Hosts
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.bundle.serve import MAX_BYTES, build_app, label_image, server
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.data import decode
from tlsearch.data.picture_file import LIMIT, DecodingBudget


def brightness(images):
    """Return the probabilities of dark and light from the mean of the pixels."""
    light = images.reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([1 - light, light], axis=1)


TOO_LARGE = f"the request body has {MAX_BYTES + 1} bytes, expected at most {MAX_BYTES}"
MODEL = OpenModel(("dark", "light"), EXPORT_FORMATS["onnx"], 8, brightness)


@pytest.fixture(scope="module")
def client():
    return TestClient(build_app(MODEL), base_url="http://localhost")


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
    answer = TestClient(build_app(model), base_url="http://localhost").post(
        "/predict?top=2", content=file.getvalue()
    )
    found = {c["label"]: c["probability"] for c in answer.json()["classes"]}
    assert found["light"] == pytest.approx(light)


def test_top_limits_the_labels(client):
    answer = client.post("/predict?top=1", content=encoded(0))
    assert [c["label"] for c in answer.json()["classes"]] == ["dark"]


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b"", 415, "not a picture"),
        (b"just text, no picture", 415, "not a picture"),
        (b"%PDF-1.4", 415, "not a picture"),
        (encoded(100, "EPS"), 415, "not a picture"),
        (encoded(100, "JPEG", (64, 64))[:300], 422, "cannot be decoded"),
        (encoded(100, "JPEG", (640, 640))[:-400], 422, "cannot be decoded"),
        (png(13_000, 13_000), 413, "too many pixels"),
        (b"\0" * (MAX_BYTES + 1), 413, TOO_LARGE),
    ],
    ids=["empty", "text", "pdf", "eps", "head of a jpeg", "truncated jpeg", "bomb", "large"],
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


@pytest.mark.parametrize("length", ["x", "-1", ""])
def test_a_length_that_is_no_number_is_a_bad_request(client, length):
    answer = client.post("/predict", content=b"x", headers={"content-length": length})
    assert answer.status_code == 400
    assert answer.json() == {"error": f"Content-Length: found {length!r}, expected a number"}


def test_a_stream_that_says_no_length_is_cut_off(client):
    sent = []

    def endless():
        for _ in range(100):
            sent.append(1)
            yield b"\0" * 2**20

    answer = client.post("/predict", content=endless())
    assert answer.status_code == 413
    assert answer.json() == {"error": f"the request body has more than {MAX_BYTES} bytes"}


def test_it_says_what_it_is(client):
    assert client.get("/health").json() == {"status": "ready"}
    assert client.get("/labels").json() == ["dark", "light"]


def test_a_picture_cannot_be_fetched_by_get(client):
    assert client.get("/predict").status_code == 405


@pytest.mark.filterwarnings("ignore")
def test_odd_exif_is_answered_with_what_is_wrong(client):
    answers = [
        client.post("/predict", content=with_exif(block)) for block in odd_exifs(seed=2, count=150)
    ]
    assert {answer.status_code for answer in answers} == {200, 422}
    assert answers[0].status_code == 422
    assert answers[0].json()["error"] == (
        "a picture that cannot be decoded: truncated or damaged; cannot be read "
        "(its EXIF block is damaged: required argument is not an integer)"
    )


def test_a_limit_that_is_no_number_is_told_before_the_model_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv(LIMIT, "many")
    with pytest.raises(ConfigError, match=LIMIT):
        serve.serve(tmp_path / "no bundle")


def test_the_first_file_of_a_form_is_the_picture(client):
    files = [("a", ("one.png", encoded(230))), ("b", ("other.png", encoded(0)))]
    answer = client.post("/predict", data={"note": "mine"}, files=files)
    assert answer.status_code == 200
    assert answer.json()["classes"][0]["label"] == "light"


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', 422, "without"),
        (b"no form", 400, "cannot be read"),
        (b"--x\r\nnonsense\r\n\r\n--x--\r\n", 400, "cannot be read"),
        (b"\0" * (MAX_BYTES + 1), 413, TOO_LARGE),
    ],
    ids=["no file", "no form", "broken", "large"],
)
def test_any_other_form_is_answered_with_what_to_send(client, body, status, part):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/predict", content=body, headers=headers)
    assert answer.status_code == status
    assert part in answer.json()["error"]
    assert status == 413 or "send the picture as the body" in answer.json()["error"]


def test_a_form_without_a_boundary_too(client):
    answer = client.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"})
    assert (answer.status_code, "send the picture" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("path", ["/predict", "/health", "/labels"])
def test_a_page_that_was_led_here_by_its_own_name_reads_nothing(client, path):
    method = client.post if path == "/predict" else client.get
    answer = method(path, headers={"host": "rebound.example:8000"})
    assert answer.status_code == 421
    assert answer.json()["error"].startswith("not the host 'rebound.example'; send one of these")


@pytest.mark.parametrize(
    ("bound", "host", "known"),
    [
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "LOCALHOST.", True),
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "[::1]:8000", True),
        ("127.0.0.1", f"{socket.gethostname()}:8000", True),
        ("127.0.0.1", "10.1.2.3:8000", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("10.1.2.3", "10.1.2.3:8000", True),
        ("10.1.2.3", "10.1.2.4:8000", False),
        ("0.0.0.0", "10.1.2.3:8000", True),
        ("::", "[fe80::1]:8000", True),
        ("0.0.0.0", "rebound.example", False),
        ("models.example", "models.example:8000", True),
        ("127.0.0.1", "[", False),
        ("127.0.0.1", "a:b:c", False),
    ],
)
def test_the_hosts_that_are_known(bound, host, known):
    assert (Hosts(bound).problem(host) is None) == known


def test_a_picture_counts_until_it_is_labelled(monkeypatch):
    class Watched(DecodingBudget):
        inside = 0

        @contextmanager
        def reserve(self, count):
            with super().reserve(count):
                self.inside += 1
                yield
                self.inside -= 1

    budget, lock, seen = Watched(1), threading.Lock(), []

    def watched(images):
        seen.append(budget.inside)
        return brightness(images)

    monkeypatch.setattr(decode, "decoding_budget", lambda: budget)
    model = OpenModel(("dark", "light"), EXPORT_FORMATS["onnx"], 8, watched)
    with ThreadPoolExecutor(6) as pool:
        found = list(
            pool.map(lambda shade: label_image(model, encoded(shade), 1, lock), [0, 255] * 6)
        )
    assert seen == [1] * 12
    assert [one[0]["label"] for one in found] == ["dark", "light"] * 6


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """Run the service on a free port, and stop it as SIGTERM does."""
    service = server(build_app(MODEL), "127.0.0.1", 0)
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    while not service.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    try:
        yield service.servers[0].sockets[0].getsockname()
    finally:
        service.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


def connected(address: tuple[str, int], sent: bytes) -> socket.socket:
    client = socket.create_connection(address, timeout=30)
    client.sendall(sent)
    return client


@pytest.mark.parametrize("sent", [b"", b"POST /pre", HEAD])
def test_a_client_that_never_begins_is_let_go(monkeypatch, sent):
    monkeypatch.setattr(connections, "HEAD_S", 0.1)
    with served() as address, connected(address, sent) as client:
        assert client.recv(100) == b""


def test_a_picture_that_never_arrives_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(serve, "READ_S", 0.1)
    with served() as address, connected(address, HEAD + b"Content-Length: 9\r\n\r\n1") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_second_request_of_a_connection_must_begin_too(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.1)
    whole = b"GET /labels HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served() as address, connected(address, whole) as client:
        answer = b""
        while b"light" not in answer:
            answer += client.recv(1000)
        client.sendall(whole[:9])
        assert client.recv(100) == b""


def test_stalled_clients_do_not_hold_up_the_end(monkeypatch, capfd):
    monkeypatch.setattr(serve, "SHUTDOWN_S", 0)
    stalled = (b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n1") * 2
    with ExitStack() as clients, served() as address:
        for sent in stalled:
            clients.enter_context(connected(address, sent))
    assert "Traceback" not in capfd.readouterr().err


def test_a_picture_in_work_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(serve, "SHUTDOWN_S", 0)
    began, goes_on = threading.Event(), threading.Event()

    def slow(*asked):
        began.set()
        goes_on.wait(60)
        return []

    monkeypatch.setattr(serve, "label_image", slow)
    with ExitStack() as clients, served() as address:
        clients.enter_context(connected(address, HEAD + b"Content-Length: 1\r\n\r\n1"))
        assert began.wait(30)
    assert not goes_on.is_set()
    goes_on.set()


def test_a_client_that_leaves_is_no_fault_of_the_service(capfd):
    with served() as address:
        connected(address, HEAD + b"Content-Length: 9\r\n\r\n1").close()
        with connected(address, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert "Traceback" not in capfd.readouterr().err


def test_connections_are_limited(monkeypatch):
    monkeypatch.setattr(serve, "CONNECTIONS", 2)
    with served() as address, connected(address, b""):
        whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with connected(address, whole) as client:
            assert client.recv(100).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("line", [b"POST /predict", b"POST /nowhere", b"HEAD /predict"])
def test_a_body_that_is_no_http_is_one_clear_answer(capfd, line):
    head = HEAD.replace(b"POST /predict", line) + b"Transfer-Encoding: chunked\r\n\r\n"
    with served() as address, connected(address, head + b"no chunk\r\n") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in capfd.readouterr().err
