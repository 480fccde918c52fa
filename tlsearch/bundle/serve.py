"""A small HTTP service: POST a picture, get its labels. Loopback only, unless asked otherwise."""

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tlsearch.base.errors import ConfigError, DataError
from tlsearch.bundle.open_bundle import OpenModel, open_model
from tlsearch.bundle.predict import ranking

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


class RefusedError(Exception):
    """A picture that is not taken, with the status to answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def serve(model_path: Path, host: str = "127.0.0.1", port: int = 8000, verify: bool = True) -> None:
    """Serve a bundle until interrupted; ConfigError where the extra is not installed."""
    try:
        import uvicorn
    except ImportError as error:
        raise ConfigError(["serve needs uvicorn: pip install 'tlsearch[serve]'"]) from error
    uvicorn.run(build_app(open_model(model_path, verify=verify)), host=host, port=port)


def build_app(model: OpenModel) -> "FastAPI":
    """The service: GET /health, GET /labels, POST /predict with the picture as the body."""
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import JSONResponse

    app = FastAPI(title="tlsearch", docs_url=None, redoc_url=None)
    one_at_a_time = threading.Lock()  # a LiteRT interpreter serves one caller at a time

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.get("/labels")
    def labels() -> list[str]:
        return list(model.labels)

    async def predict(request: Request, top: int = 3) -> JSONResponse:
        try:
            body = await read_body(request)
            classes = await run_in_threadpool(label, model, body, top, one_at_a_time)
        except RefusedError as refused:
            return JSONResponse({"error": refused.reason}, status_code=refused.status)
        return JSONResponse({"classes": classes})

    predict.__annotations__["request"] = Request  # imported here, so FastAPI cannot look it up
    app.post("/predict", response_model=None)(predict)
    return app


async def read_body(request: Any) -> bytes:
    """The request's body, refused as soon as it is known to be too large."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > MAX_BYTES:
        raise RefusedError(413, f"too large: {declared} bytes, at most {MAX_BYTES} are taken")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise RefusedError(413, f"too large: more than {MAX_BYTES} bytes")
    return bytes(body)


def label(model: OpenModel, body: bytes, top: int, lock: threading.Lock) -> list[dict[str, Any]]:
    """The most probable classes of one encoded picture; RefusedError where it is none."""
    pixels = decode_body(model, body)
    with lock:
        row = model([pixels])[0]
    found = ranking(row, model.labels, max(1, top))
    return [{"label": name, "probability": probability} for name, probability in found]


def decode_body(model: OpenModel, body: bytes) -> np.ndarray[Any, Any]:
    """An encoded picture as pixels, its size looked at before it is unpacked."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise RefusedError(413, f"too many pixels, at most {MAX_PIXELS}") from error
    except Exception as error:  # Pillow's decoders raise many kinds for bytes that are no picture
        raise RefusedError(415, f"not a picture of {', '.join(FORMATS)}") from error
    if width * height > MAX_PIXELS:
        raise RefusedError(413, f"too many pixels: {width} x {height}, at most {MAX_PIXELS}")
    try:
        return model.read(io.BytesIO(body))
    except DataError as error:
        raise RefusedError(422, "a picture that cannot be decoded: truncated or damaged") from error
