"""PNG with 16 bits a colour, of which Pillow keeps 8."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io.pixels import ImageError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}
"""Channels by PNG colour type: RGB and RGBA."""


def is_deep(path: Path) -> bool:
    """Whether a file is a PNG with 16 bits a colour."""
    with path.open("rb") as file:
        start = file.read(26)
    return (
        start.startswith(_SIGNATURE)
        and len(start) == 26
        and start[24] == 16
        and start[25] in _CHANNELS
    )


def read(path: Path) -> npt.NDArray[np.uint16]:
    """``(Y, X, 3)`` or ``(Y, X, 4)`` uint16.

    PNG's filters work byte by byte at the distance of a pixel, so the high and the low bytes,
    with the filters as they are, make two pictures of 8 bits, which Pillow decodes.

    Raises
    ------
    ImageError
        When the file is truncated or interlaced.
    """
    chunks = _chunks(path.read_bytes())
    header = next(data for kind, data in chunks if kind == b"IHDR")
    width, height, _, colours, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if interlaced:
        raise ImageError("it is an interlaced PNG of 16 bits; save it without interlacing")
    row = 1 + 2 * _CHANNELS[colours] * width
    try:
        packed = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    except zlib.error as error:
        raise _truncated() from error
    if len(packed) != height * row:
        raise _truncated()
    lines = np.frombuffer(packed, np.uint8).reshape(height, row)
    high, low = (
        _decoded(np.hstack([lines[:, :1], lines[:, first::2]]), width, colours) for first in (1, 2)
    )
    return (high.astype(np.uint16) << np.uint16(8)) | low.astype(np.uint16)


def _truncated() -> ImageError:
    return ImageError("it is truncated or damaged; copy or export it again")


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(_SIGNATURE)
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _decoded(lines: npt.NDArray[np.uint8], width: int, colours: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    header = struct.pack(">IIBBBBB", width, len(lines), 8, colours, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 0)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return np.asarray(Image.open(BytesIO(_SIGNATURE + content)))
