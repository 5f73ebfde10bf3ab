"""Small files of pictures that would take gigabytes."""

import struct
import zlib

# Below twice Pillow's limit, from which on Pillow refuses itself.
SIDE = 13_300


def large_png(width: int = SIDE, height: int = SIDE) -> bytes:
    """A PNG file that declares many pixels. It ends early, which only a decoder finds."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def large_jpeg(pixels: bytes, width: int = SIDE, height: int = SIDE) -> bytes:
    """The content of a JPEG file, changed to declare many pixels."""
    start = pixels.index(b"\xff\xc0") + 5
    return pixels[:start] + struct.pack(">HH", height, width) + pixels[start + 4 :]
