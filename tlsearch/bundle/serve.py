"""A small HTTP service: POST an image, get its labels. It binds to loopback by default."""

import asyncio
import io
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlsearch.base.errors import PictureError, PictureFormatError, PictureSizeError
from tlsearch.bundle.open_bundle import OpenModel, open_model
from tlsearch.bundle.predict import ranking
from tlsearch.config.extras import require_extra
from tlsearch.data.picture_file import FORMATS, most_pixels

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

MAX_BYTES = 32 * 2**20  # of a request; 50-megapixel cameras write files of half that size
READ_S = 60  # for the body of a request; `connections.HEAD_S` limits its head
CONNECTIONS = 32
SHUTDOWN_S = 3

_STATUS = {PictureSizeError: 413, PictureFormatError: 415, PictureError: 422}


class RefusedError(Exception):
    """A request that is refused, with the HTTP status and the reason of the response."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def serve(
    model_path: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    verify: bool = True,
    form: str | None = None,
) -> None:
    """Serve a bundle until interrupted; raises ConfigError if the `serve` extra is missing."""
    require_extra("serve", "serve")
    most_pixels()  # report an invalid limit now, not with the first image
    app = build_app(open_model(Path(model_path), form, verify), host)
    server(app, host, port).run()


def server(app: "FastAPI", host: str, port: int) -> "uvicorn.Server":
    """Return the uvicorn server of the service.

    It limits the number of connections and the time to send the head of a request. A stalled
    connection delays the shutdown by at most `SHUTDOWN_S`.
    """
    import uvicorn

    from tlsearch.bundle.connections import TimedProtocol

    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=TimedProtocol,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )


def build_app(model: OpenModel, host: str = "127.0.0.1") -> "FastAPI":
    """Build the service: GET /health, GET /labels, POST /predict with the image as the body.

    `host` is the address that the server binds to; requests for other hosts are refused.
    """
    from anyio import to_thread
    from fastapi import Depends, FastAPI, Request
    from fastapi.responses import JSONResponse

    from tlsearch.bundle.connections import Hosts

    hosts = Hosts(host)
    one_at_a_time = threading.Lock()  # a LiteRT interpreter is not safe for concurrent calls

    def known_host(request: Request) -> None:
        if problem := hosts.problem(request.headers.get("host", "")):
            raise RefusedError(421, problem)

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RefusedError)
        return JSONResponse({"error": error.reason}, status_code=error.status)

    app = FastAPI(
        title="tlsearch",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_host)],
        exception_handlers={RefusedError: refused},
    )

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.get("/labels")
    async def labels() -> list[str]:
        return list(model.labels)

    @app.post("/predict", response_model=None)
    async def predict(request: Request, top: int = 3) -> JSONResponse:
        try:
            picture = await read_picture(request)
            classes = await to_thread.run_sync(
                label_image, model, picture, top, one_at_a_time, abandon_on_cancel=True
            )
        except asyncio.CancelledError as error:  # SHUTDOWN_S passed before the request ended
            raise RefusedError(503, "the service ends") from error
        return JSONResponse({"classes": classes})

    return app


async def read_picture(request: Any) -> bytes:
    """Return the image of a request: its body, or the first file of a form.

    Raises RefusedError if there is none or it does not arrive within `READ_S`.
    """
    try:
        async with asyncio.timeout(READ_S):
            body = await read_body(request)
    except TimeoutError as error:
        raise RefusedError(408, f"the picture did not arrive within {READ_S} s") from error
    form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    return await first_file(request.headers, body) if form else body


async def read_body(request: Any) -> bytes:
    """Return the request's body; raises RefusedError as soon as it is known to be too large."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal():
        raise RefusedError(400, f"Content-Length: found {declared!r}, expected a number")
    if int(declared) > MAX_BYTES:
        expected = f"expected at most {MAX_BYTES}"
        raise RefusedError(413, f"the request body has {declared} bytes, {expected}")
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                raise RefusedError(413, f"the request body has more than {MAX_BYTES} bytes")
    except ClientDisconnect as error:
        raise RefusedError(400, "the client disconnected before its picture arrived") from error
    return bytes(body)


async def first_file(headers: Any, body: bytes) -> bytes:
    """Return the first file of a `multipart/form-data` body; raises RefusedError if it has none."""
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    advice = "send the picture as the body, or as a file of the form"
    try:
        form = await MultiPartParser(headers, whole(), max_files=100, max_fields=100).parse()
    except (MultiPartException, LookupError, ValueError) as error:
        raise RefusedError(400, f"a form that cannot be read; {advice}") from error
    try:
        files = (value for _, value in form.multi_items() if isinstance(value, UploadFile))
        if (first := next(files, None)) is None:
            raise RefusedError(422, f"a form without a file; {advice}")
        return await first.read()
    finally:
        await form.close()


def label_image(
    model: OpenModel, body: bytes, top: int, lock: threading.Lock
) -> list[dict[str, object]]:
    """Return the most probable classes of one encoded image; raises RefusedError if unreadable."""
    try:
        with model.reading(io.BytesIO(body)) as pixels, lock:
            row = model([pixels])[0]
    except PictureError as error:
        raise RefusedError(_STATUS[type(error)], _explain(error)) from error
    found = ranking(row, model.labels, max(1, top))
    return [{"label": name, "probability": probability} for name, probability in found]


def _explain(error: PictureError) -> str:
    if isinstance(error, PictureSizeError):
        return error.reason
    if isinstance(error, PictureFormatError):
        return f"not a picture of {', '.join(FORMATS)}"
    return f"a picture that cannot be decoded: truncated or damaged; {error.reason}"
