"""Pictures as attackers and careless programs write them."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_TAGS = (0x100, 0x103, 0x10F, 0x111, 0x112, 0x11A, 0x128, 0x132, 0x14A, 0x8769, 0x8825, 0x927C)
_COUNTS = (0, 1, 2, 4, 2**31)
ORIENTATION, RESOLUTION_UNIT = 0x112, 0x128
SHORT, RATIONAL = 3, 5

# Tag, type, count, value: rotated by 90 degrees, and a resolution unit of the wrong type.
RATIONAL_UNIT = (
    (ORIENTATION, SHORT, 1, struct.pack(">H", 6)),
    (RESOLUTION_UNIT, RATIONAL, 1, struct.pack(">LL", 2, 1)),
)


def exif(entries: tuple[tuple[int, int, int, bytes], ...]) -> bytes:
    """Return a big-endian EXIF block of one directory with these entries, valid or not."""
    values, rows, at = b"", b"", 14 + 12 * len(entries)
    for tag, kind, count, raw in entries:
        held = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(">L", at + len(values))
        values += raw if len(raw) > 4 else b""
        rows += struct.pack(">HHL", tag, kind, count) + held
    directory = struct.pack(">H", len(entries)) + rows + struct.pack(">L", 0)
    return b"Exif\0\0MM\0*" + struct.pack(">L", 8) + directory + values


def odd_exifs(seed: int, count: int) -> Iterator[bytes]:
    """Yield the RATIONAL_UNIT block, then blocks of rotated pictures with odd entries and bytes."""
    rng = random.Random(seed)
    yield exif(RATIONAL_UNIT)
    for _ in range(count - 1):
        rows = [
            (rng.choice(_TAGS), rng.randrange(15), rng.choice(_COUNTS), rng.randbytes(size))
            for size in rng.choices((0, 1, 2, 4, 8, 16), k=rng.randrange(1, 5))
        ]
        block = bytearray(exif((RATIONAL_UNIT[0], *rows)))
        for _ in range(rng.randrange(3)):
            block[rng.randrange(6, len(block))] = rng.randrange(256)
        yield bytes(block)


def with_exif(block: bytes, form: str = "JPEG", size: tuple[int, int] = (12, 10)) -> bytes:
    """Return a picture with an EXIF block."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, form, exif=block)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return an 8-bit grey PNG that declares this size; without chunks it has no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join((*chunks, chunk(b"IEND", b"")))


def grey_rows(width: int, height: int) -> bytes:
    """Return the IDAT chunk with the black pixels of such a PNG."""
    return chunk(b"IDAT", zlib.compress(bytes((width + 1) * height)))


def tiled_tiff(tile_px: int) -> bytes:
    """Return a grey TIFF of 16 x 16 black pixels in one tile, which may be far larger."""
    packer = zlib.compressobj()
    tile = b"".join(packer.compress(bytes(tile_px)) for _ in range(tile_px)) + packer.flush()
    at = 14 + 12 * 10
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_px, 323: tile_px}
    rows = (tags | {324: at, 325: len(tile)}).items()
    directory = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in rows)
    head = b"II*\0" + struct.pack("<LH", 8, len(rows))
    return head + directory + struct.pack("<L", 0) + tile


def jpeg_of_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated `count` more times."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((12, 10)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + whole[-2:]
